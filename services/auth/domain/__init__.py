"""What the auth server knows. Pure: no I/O, no clock, no randomness.

accounts       who there is, and which rules accounts obey
sessions       who is logged in, and how a refresh is decided
tokens         what a token says
keys           when a signing key may do what, and how one follows another
revocations    what the gateways must refuse
passwords      what a password must be like
guessing       how many attempts are free, and for how long the next ones are refused
second_factor  what a login asks for after the password
clients        which resource servers may ask about tokens
standings      what is known of a token when they ask
tickets        what a WebSocket is opened with
users          accounts, passwords and sessions together
audit          what is written down for later

Beside the rules of each stand the Protocols of what its use cases need.
"""
