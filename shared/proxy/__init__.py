"""The reverse proxy: which request goes where, in whose name, and how it is passed on.

config     gateway.toml: its schema, with defaults
toml_file  reading TOML so that every fault is named by line and key
routes     the prefix table: whole segments, longest match (pure)
headers    what of a head is passed on, and what we add (pure)
upstreams  several targets behind one name: balancing, passive ejection (pure, clock passed in)
overview   what the admin port tells about routes and targets
forward    the handler that streams a request to an upstream and its response back
"""
