"""`./scripts/events`: the operator's hands on outboxes, the bus, inboxes and dead letters.

services       which services publish, which take in, and how each is opened
attempts       an event tried once, and what became of it
letters        list, show, redrive, discard: what could not be taken in
repairs        replay, rebuild, republish: what was lost on the way
settings       which bus is asked
waiting        lag: what waits, and where
"""
