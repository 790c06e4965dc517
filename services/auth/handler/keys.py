"""What anybody may know of the issuer."""

from contextlib import suppress
from typing import Any

from services.auth.domain.keys import KnownKeys
from services.auth.handler.client_credentials import AUTHENTICATION_METHODS
from services.auth.handler.oauth import INTROSPECTION_PATH, REVOCATION_PATH
from shared.auth.jwks import JWKS_PATH, LIFETIME_SECONDS
from shared.auth.settings import TokenSettings
from shared.errors import Unavailable
from shared.http.messages import Request, Response, json_response

METADATA_PATH = "/.well-known/oauth-authorization-server"
# No verifier keeps the keys longer than our own do; a new key is published for longer before it signs.
_CACHEABLE = ("Cache-Control", f"public, max-age={LIFETIME_SECONDS:.0f}")


class KeyHandler:
    """What anybody may know of the issuer."""

    def __init__(self, keys: KnownKeys, settings: TokenSettings) -> None:
        self._keys = keys
        self._settings = settings

    async def jwks(self, request: Request) -> Response:
        """The public keys (RFC 7517 section 5): those of now, or while the database is away, the last known.

        Whoever asks may have met a key that another auth server has begun to sign with a moment ago.
        """
        with suppress(Unavailable):
            await self._keys.catch_up()
        headers = [("Content-Type", "application/jwk-set+json"), _CACHEABLE]
        return Response(200, headers, self._keys.jwks)

    async def metadata(self, request: Request) -> Response:
        """RFC 8414. Logging in with JSON is no OAuth grant, so there is no `token_endpoint`.

        The two empty arrays say that too. Section 3.2 wants empty ones left out, but section 2 requires
        `response_types_supported`, and takes `grant_types_supported`, left out, for authorization code and
        implicit, neither of which there is.
        """
        issuer = self._settings.issuer
        document: dict[str, Any] = {
            "issuer": issuer,
            "jwks_uri": f"{issuer}{JWKS_PATH}",
            "introspection_endpoint": f"{issuer}{INTROSPECTION_PATH}",
            "introspection_endpoint_auth_methods_supported": AUTHENTICATION_METHODS,
            "revocation_endpoint": f"{issuer}{REVOCATION_PATH}",
            "revocation_endpoint_auth_methods_supported": AUTHENTICATION_METHODS,
            "response_types_supported": [],
            "grant_types_supported": [],
        }
        return json_response(200, document, [_CACHEABLE])
