"""What the auth server knows. Pure: no I/O, no clock, no chance.

accounts       who there is, and which rules accounts obey
sessions       who is logged in, and how a refresh is decided
revocations    what the gateways must refuse
passwords      what a password must be like
audit          what is written down for later

Beside the rules of each stand the Protocols of what its use cases need.
"""
