"""Who asks, and how we know.

strict_json        JSON that can be read in one way only (pure)
jwk                verification keys out of a JWK Set (pure)
jwt                tokens, checked strictly against such keys (pure)
jwks               the keys of the auth server, kept fresh
revocation_list    what ended early, and whether it concerns a token (pure)
revocation_store   spreads revocations to every gateway: the auth server writes
revocation_mirror  the store in a gateway's memory, asked at every request
tickets            one-time tickets: the auth server issues them, WebSocket gateways redeem them
identity           signed headers that tell a service who the gateway has let in
settings           the settings that the issuer and the verifiers of tokens share
"""
