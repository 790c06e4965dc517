"""Accounts, passwords, sessions, tokens and signing keys. `auth_server.py` puts it all together.

domain/         who there is, which rules accounts obey, how a refresh is decided
service/        the use cases
handler/        HTTP in and out
repository/     rows ↔ domain
passwords       bcrypt in a bounded pool of threads; `common_passwords` are guessed first
one_time_codes  what a phone shows, and its secret encrypted
tokens          what the two kinds of token say
signing_keys    the keys that sign them, shared through the database; `key_maker` makes and opens them
sealing         encryption of what the database must not show
revocations     from the database to the store, until it is there
upkeep          what it does by itself, for as long as it runs
single_flight   what many ask for at the same time, done once
settings        everything that can be set
"""
