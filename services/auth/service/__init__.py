"""What can be done. Each write reads as: hold, decide, record; then tell.

The gateways are told after the transaction, never inside it: the database is the truth, and what it holds is
sent to the store until the store has it.

accounts        who has an account
administration  what the operator does to accounts
guessing        who may try again, and who has to wait
login           who gets a session
refreshing      who stays logged in
sessions        which there are, and how they end
passwords       changing one
second_factor   enrolling a phone, asking for its codes
clients         which resource servers may ask about tokens
tickets         who may open a WebSocket
inspection      what a token is worth, and the end of one
keys            the operator's part in the life of signing keys
key_supply     the auth server's own: at every moment there is one to sign with
"""
