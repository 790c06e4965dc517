"""The business services: each owns one domain and one database, and imports no other.

A service is four layers and a main; each knows only those before it:

domain.py      entities, rules, past-tense events, and the Protocols of what the use cases need (pure)
service.py     use cases: what a caller can have done
events.py      what it reports: domain events → messages of the contracts
repository.py  rows ↔ domain; the only place with SQL besides migrations/
handler.py     HTTP, gRPC and the bus: decode → service → encode; the only place with HTTP types
clients.py     calls to other services, over gRPC, which implement Protocols of the domain
settings.py    what can be set, and upkeep.py what it does by itself, where there is any
main.py        read the settings, connect, wire, serve

A layer that has outgrown a file is a folder of that name, one file a concern: `auth` is built so, with its
wiring beside it and its main in auth_server.py. `product` is the plainest and the one to read first.
"""
