"""`./scripts/saga`: the operator's view of what becomes of orders.

standings  where sagas stand, out of order's database
words      how that is told
listing    list: those that run, the stuck ones first, and those that have ended
story      show: one order, its steps and its events
hurrying   retry: what waits is due now
"""
