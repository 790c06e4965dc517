"""Accounts, passwords, sessions, tokens and signing keys. `auth_server.py` puts it all together.

domain            what there is, which rules it obeys, and how each thing is decided
service           the use cases
handler           HTTP in and out
repository        rows ↔ domain
passwords         bcrypt in a bounded pool of threads
turns             so many at once may hash, or count an attempt; the others wait
fair_queue        how they wait: client addresses take turns
common_passwords  those that everybody guesses first
one_time_codes    what a phone shows, and its secret encrypted
tokens            what the two kinds of token say
signing_keys      the keys that sign them, shared through the database
key_maker         makes those keys, and opens them
sealing           encryption of what the database must not show
revocations       from the database to the store, until it is there
tickets           what lets somebody open a WebSocket, into the store
upkeep            what it does by itself, for as long as it runs
unix_time         the time as tokens tell it
wiring            all of it, put together over one database
settings          everything that can be set
"""
