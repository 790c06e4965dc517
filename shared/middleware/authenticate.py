"""Who is asking? A bearer token (RFC 6750) becomes a principal.

A token is verified once and remembered by its digest, because a signature costs more than all the rest of a
request. What can change afterwards is looked up every time: its expiry, the keys that are published, and the
revocations of its session, its user, its key and itself. Nothing of that waits for anybody.

While the revocations are not known to be up to date, nobody with a token is let in: 503, not 401, because the
token may be good. Who comes without one to a route that allows it is not concerned.
"""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import replace
from hashlib import sha256
from typing import Literal

from shared import context
from shared.auth import jwt
from shared.auth.jwks import JWKSCache
from shared.auth.jwt import Claims, TokenRefused
from shared.auth.revocation_mirror import RevocationMirror
from shared.auth.settings import TokenSettings
from shared.context import Principal
from shared.errors import Unavailable
from shared.http import challenges
from shared.http.messages import Handler, Middleware, Request, Response
from shared.http.problems import HTTPError
from shared.observability import metrics

REMEMBERED_TOKENS = 16_384  # about 2 kB each; whoever was heard of least recently is verified again
STALE_RETRY_SECONDS = 1.0

_SCHEME = "Bearer "
_REVOKED = "revoked"
# Only of tokens whose signature is good, or whose key is nobody's any more; a forger learns nothing but "no".
_TELLING_REASONS = {
    "expired": "The access token has expired.",
    _REVOKED: "The access token has been revoked.",
}


class AccessTokens:
    """Verifies access tokens against the auth server's keys and the store's revocations."""

    def __init__(
        self,
        settings: TokenSettings,
        keys: JWKSCache,
        revocations: RevocationMirror,
        *,
        capacity: int = REMEMBERED_TOKENS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`clock` gives Unix seconds."""
        self._settings = settings
        self._keys = keys
        self._revocations = revocations
        self._capacity = capacity
        self._clock = clock
        self._remembered: OrderedDict[bytes, tuple[Claims, Principal]] = OrderedDict()
        metrics.show(metrics.TOKENS_REMEMBERED, lambda: len(self._remembered))
        metrics.start_at_zero(metrics.TOKENS_REFUSED, *((reason,) for reason in (*jwt.REASONS, _REVOKED)))

    def refuse_while_stale(self) -> None:
        """Raises Unavailable while we cannot know what has been revoked."""
        if not self._revocations.is_fresh():
            raise Unavailable("Tokens cannot be checked at the moment.", retry_after=STALE_RETRY_SECONDS)

    async def principal_of(self, token: str, client_address: str) -> Principal:
        """Whom `token` proves to be asking. Raises TokenRefused or Unavailable."""
        self.refuse_while_stale()
        digest = sha256(token.encode("latin-1")).digest()
        known = self._remembered.get(digest)
        if known is not None:
            self._refuse_if_over(digest, known[0])  # first, because a key that has gone would be fetched
        if known is None or known[0].key_id not in self._keys.keys:
            claims = await self._verify(token)
            self.refuse_while_stale()  # the fetch of a key may have taken a while
            self._refuse_if_over(digest, claims)
            principal = self._remember(digest, claims, client_address)
        else:
            claims, principal = known
            self._remembered.move_to_end(digest)
        if principal.client_address != client_address:
            principal = self._remember(digest, claims, client_address)
        return principal

    def _refuse_if_over(self, digest: bytes, claims: Claims) -> None:
        reason = ""
        if self._clock() >= claims.expires + jwt.LEEWAY_SECONDS:
            reason = "expired"
        elif self._revocations.refuses(claims):
            reason = _REVOKED
        if reason:
            self._remembered.pop(digest, None)
            raise TokenRefused(reason)

    async def _verify(self, token: str) -> Claims:
        key_id = jwt.key_id_of(token)
        if self._revocations.refuses_key(key_id):  # it is published no more: no fetch would bring it
            raise TokenRefused(_REVOKED)
        await self._keys.refresh_for(key_id)
        metrics.TOKENS_VERIFIED.inc()
        return jwt.verify(
            token,
            self._keys.keys,
            now=self._clock(),
            issuer=self._settings.issuer,
            audience=self._settings.audience,
            algorithms=self._settings.algorithms,
        )

    def _remember(self, digest: bytes, claims: Claims, client_address: str) -> Principal:
        principal = replace(claims.principal, client_address=client_address)
        self._remembered[digest] = claims, principal
        self._remembered.move_to_end(digest)
        if len(self._remembered) > self._capacity:
            self._remembered.popitem(last=False)
        return principal


def anonymous() -> Middleware:
    """Asks nobody: an `Authorization` field is not ours to read. Notes only where the request came from."""

    def wrap(handler: Handler) -> Handler:
        def unidentified(request: Request) -> Awaitable[Response]:
            request.principal = Principal(client_address=request.client_address)
            return handler(request)

        return unidentified

    return wrap


def authenticate(tokens: AccessTokens, demand: Literal["optional", "required"]) -> Middleware:
    """Sets `request.principal`. Raises HTTPError 401 (400 for several credentials), or Unavailable."""
    is_required = demand == "required"

    def wrap(handler: Handler) -> Handler:
        async def authenticated(request: Request) -> Response:
            credentials = request.headers.get("authorization")
            if credentials is not None:
                token = _bearer_token(credentials)
                try:
                    request.principal = await tokens.principal_of(token, request.client_address)
                except TokenRefused as refused:
                    raise _refusal(refused) from refused
                context.principal.set(request.principal)
            elif is_required:
                tokens.refuse_while_stale()
                raise _Challenged("This needs an access token.")
            else:
                request.principal = Principal(client_address=request.client_address)
            return await handler(request)

        return authenticated

    return wrap


def _bearer_token(credentials: str) -> str:
    """The token of an `Authorization` field: `Bearer` in any case, blanks, token (RFC 6750 section 2.1)."""
    if (
        "," in credentials
    ):  # repeated fields are joined so; which of them an upstream would read, nobody knows
        raise _Challenged("There is more than one credential.", error="invalid_request", status=400)
    if credentials.startswith(_SCHEME):
        return credentials[len(_SCHEME) :].lstrip(" ")
    scheme, _, token = credentials.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise _Challenged("This needs an access token of type Bearer.")
    return token.strip(" ")


def _refusal(refused: TokenRefused) -> "_Challenged":
    metrics.TOKENS_REFUSED.labels(refused.reason).inc()
    detail = _TELLING_REASONS.get(refused.reason, "The access token is not valid.")
    return _Challenged(detail, error="invalid_token")


class _Challenged(HTTPError):
    """Not without a (better) token. `error` is one of RFC 6750 section 3.1, absent where no token came."""

    def __init__(self, detail: str, *, error: str = "", status: int = 401) -> None:
        challenge = (challenges.NAME, challenges.bearer(error, detail))
        super().__init__(status, detail, [challenge], code=error.replace("_", "-") or "unauthenticated")
