"""`./scripts/check-invariants`: whether orders, money, goods and what was said add up.

findings   what was looked at, and what was found wrong
snapshots  a service's database as it is at one moment, to be read and nothing else
books      what must add up within one database: the ledger, the stock, the rooms, the events
purchases  what an order must be to its saga, its payment and its reservation
readings   purchases out of three databases
check      all of it, in an order of reading that raises no false alarm
"""
