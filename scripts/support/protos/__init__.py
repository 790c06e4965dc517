"""The contract repository: `./scripts/protos COMMAND`, offline, on any folder that is laid out like protos/.

__main__   the commands, their arguments and what they print
folder     what lies where in the folder
tools      the pinned tools: buf, protoc, flit
buf        what buf says against contracts: lint, format, breaking changes
generate   Python sources; `wheel` makes the package of them
clients    sources for other languages
versions   versions, and which of them fits which change (pure)
changes    what has changed since the last release
check      what stands in the way of a merge
release    one step of the version, all of it or nothing
changelog  the release's place in the changelog (pure)
pin        the version that the application asks for, and its lock file; standard library only
writing    several files at once, or none
"""
