"""`./scripts/load`: many clients of a running system, who believe nothing that they have not been told twice.

patient_client  HTTP for a client that asks again until it is answered
users           people with an account, who log in again when their token has run out
shop            goods, stock and money of the load's own
witness         what clients have been told of their orders, and whether it can all be true (pure)
scenes          what a client does in the shop, one order at a time
books           whether stock and wallets are, in the end, what the orders say
report          what has come of it, as a table
play            all of it: the shop opens, the clients play, every order is asked for once more
"""
