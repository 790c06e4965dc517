"""Who asks, and how we know.

jwt         tokens and verification keys, checked strictly (pure)
jwks        the verification keys of the auth server, kept fresh
revocation  tokens that ended early: the store that spreads them, the mirror that refuses them
identity    signed headers that tell a service who the gateway has let in
settings    the settings that the issuer and the verifiers of tokens share
"""
