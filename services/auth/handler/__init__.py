"""HTTP in and out: decode, ask the service, encode.

routes         the auth server's table
accounts, sessions, passwords, second_factor, keys
oauth          introspection and revocation; `client_credentials` is who asks
"""
