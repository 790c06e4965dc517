"""What orders are made of. Pure: no I/O, no clock, no randomness.

A decision returns the event it amounts to, which carries the order as it then is. Whoever records the event
makes it true.

articles    what order knows of the catalogue's products, and its copies of them
orders      what an order is and which rules it obeys
fulfilment  what becomes of an order, and who takes part in that
"""
