"""Accounts, passwords, sessions, tokens and signing keys. `auth_server.py` puts it all together.

domain/       who there is, which rules accounts obey, how a refresh is decided
service/      the use cases
handler/      HTTP in and out
repository/   rows ↔ domain
passwords     bcrypt in a bounded pool
tokens        what the two kinds of token say
signing_keys  the keys that sign them, shared through the database
sealing       encryption of what the database must not show
revocations   from the database to the store, until it is there
upkeep        what it does by itself, for as long as it runs
settings      everything that can be set
"""
