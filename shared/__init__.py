"""The mechanism that every process stands on. Policy and wiring are elsewhere: front files and services.

errors         the few kinds of failure, without transport
config, ports  settings from the environment; where everything listens
currency       ISO 4217 codes, and the one of this deployment
context, ids   what travels with a request; UUIDv7
tasks, runtime background tasks; how a process starts, is ready, drains and ends
observability  logs, metrics, traces
http           HTTP/1.1 by hand: server, client, routing
db             PostgreSQL: pool, transactions, migrations
auth           tokens, keys, revocations, signed internal identity
middleware     one concern a file, wrapped around handlers
proxy          the reverse proxy: header rules, upstreams, forwarding
service        what every service's main does the same way

Imports point upwards in this list only: no module knows what stands below it.
"""
