"""The mechanism that every process stands on. Policy and wiring are elsewhere: front files and services.

errors          the few kinds of failure, without transport
ids, base64url  UUIDv7 and request ids; octets as text
text, rules     names and lines in Unicode; what a field must obey
money, paging   amounts; lists in pages
versions        which version of a thing a change is meant for
saga            what comes next in a change across services
crash_points    named places where tests let a process die
context         what travels with a request
ports, config   where everything listens; settings from the environment
callers         who may speak to whom
currency        ISO 4217 codes, and the one of this deployment
observability   logs, metrics, traces
tasks, runtime  background tasks; how a process starts, is ready, drains and ends
event_loop      how long something holds it up
descriptors     how many files and connections this process may have open
single_flight   what many ask for at the same time, done once
duties          what a process does by itself, again and again
http, db        HTTP/1.1 by hand; PostgreSQL with transactions and migrations
auth            tokens, keys, revocations, signed internal identity
events          between services: outbox, bus, inbox
websocket       WebSockets: handshake, frames, all sockets of a process
middleware      one concern a file, wrapped around handlers
proxy           the reverse proxy: header rules, upstreams, forwarding
rpc             gRPC between services
service         what every service's main does the same way
idempotency     the same call twice is one call

Imports point upwards in this list only: no module knows what stands below it.
"""
