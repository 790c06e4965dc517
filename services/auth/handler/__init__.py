"""HTTP in and out: decode, ask the service, encode.

routes              the auth server's table
accounts            signing up, and who asks
sessions            logging in, refreshing, listing, ending
passwords           changing one
second_factor       enrolling a phone, taking it off
tickets             one for a WebSocket
keys                what anybody may know of the issuer
oauth               introspection and revocation
client_credentials  which resource server asks for those
caller              whom the gateway vouches for
"""
