"""HTTP in and out: decode, ask the service, encode.

routes         the auth server's table
accounts, sessions, keys
"""
