"""What can be done. Each write reads as: hold, decide, record; then tell.

The gateways are told after the transaction, never inside it: the database is the truth, and what it holds is
sent to the store until the store has it.

accounts       who has an account
login          who gets a session
sessions       refreshing, logging out
"""
