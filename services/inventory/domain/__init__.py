"""What the inventory is made of. Pure: no I/O, no clock, no randomness.

A decision (`Stock.counted`, `reserve`, `Reservation.commit` …) returns the event it amounts to, which carries
what has changed as it then is, or None when nothing happens. Whoever records the event makes it true.

stock         how much there is of a product, and the books that add up to it
outcomes      what can become of a reservation, and what each command answers then
reservations  goods set aside together, and what becomes of them
catalogue     where products come from
"""
