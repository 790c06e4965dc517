"""What `./scripts/new-service NAME` does.

template   the files of a new service; NAME in a path and $name, $Name in a text stand for its name
edits      the lines that a new service needs in files that are there: port, process, routes, news (pure)
__main__   the command
"""
