"""The operator's commands for the auth server, straight on its database: `./scripts/admin COMMAND`.

__main__      the table of commands
command       what a command is: its name, its arguments, what it does
tools         what a command works with: the auth server's use cases over its database
text          what is printed: tables, and nothing that a terminal would obey
accounts      create-admin
users         list, lock, unlock, role; grant
audit         what has happened
clients       resource servers
keys          list, rotate, revoke

A command module offers `add_to(commands)`, and __main__ names it in one line.
"""
