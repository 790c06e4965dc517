"""What anybody may know of the issuer."""

import json

from shared.auth import jwt
from shared.auth.jwk import KeySet
from tests.services.auth.conftest import TOKENS, AuthServer


async def test_the_published_keys_verify_and_hold_nothing_private(auth: AuthServer) -> None:
    answer = await auth.call("GET", "/.well-known/jwks.json")
    assert answer.status == 200
    assert "max-age" in str(answer.headers.get("cache-control"))
    (key,) = answer.document["keys"]
    assert set(key) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    await auth.sign_up()
    token = (await auth.log_in()).document["access_token"]
    jwt.verify_signature(token, KeySet.from_json(json.dumps(answer.document).encode()), ["ES256"])


async def test_metadata(auth: AuthServer) -> None:
    answer = await auth.call("GET", "/.well-known/oauth-authorization-server")
    assert answer.document["issuer"] == TOKENS.issuer
    assert answer.document["jwks_uri"] == f"{TOKENS.issuer}/.well-known/jwks.json"
