"""What the two kinds of token say, and what is kept of them.

Access tokens are for the gateways (RFC 9068). Refresh tokens are for us alone: another type, another
audience, so that no gateway takes one. They are signed only to keep rubbish away from the database, which
decides.
"""

import hashlib
import secrets
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import jwt as pyjwt

from services.auth.domain.accounts import User
from services.auth.domain.sessions import Session, Tokens
from services.auth.domain.tokens import SignedToken, TokenKind
from services.auth.sealing import key_from, seal, unseal
from services.auth.signing_keys import KeyRing
from services.auth.unix_time import milliseconds, moment, seconds
from shared.auth import jwt
from shared.auth.settings import TokenSettings
from shared.ids import parse_id

CLIENT_ID = "plainstack"  # RFC 9068 wants one; whoever logs in with a password uses our own client
TOKEN_ID_BYTES = 24

_SUCCESSOR = b"plainstack refresh successor"


@dataclass(frozen=True, slots=True)
class SignedTokens:
    """The domain's TokenMaker and TokenReader."""

    settings: TokenSettings
    keys: KeyRing
    access_lifetime: timedelta

    async def catch_up(self) -> None:
        """A key that was revoked signs no more, and one that another auth server signs with is known."""
        await self.keys.catch_up()

    def issue(self, user: User, session: Session, now: datetime) -> Tokens:
        """An access token, and a refresh token that lives as long as the session may lie idle."""
        claims = {
            **self._common_claims(session, now),
            "aud": self.settings.refresh_audience,
            "exp": seconds(session.expires_at),
        }
        return self.reissue(user, session, now, self._sign(claims, jwt.REFRESH_TOKEN))

    def reissue(self, user: User, session: Session, now: datetime, refresh_token: str) -> Tokens:
        """An access token, which does not outlive the session, even if nobody refreshes that again."""
        expires_at = min(now + self.access_lifetime, session.expires_at)
        claims = {
            **self._common_claims(session, now),
            "aud": self.settings.audience,
            "exp": seconds(expires_at),
            "roles": list(user.roles),
        }
        access_token = self._sign(claims, jwt.ACCESS_TOKEN)
        return Tokens(
            session.session_id, access_token, int((expires_at - now).total_seconds()), refresh_token
        )

    def session_of(self, refresh_token: str) -> UUID | None:
        """The session that the token names, if it is one of ours and has not expired."""
        signed = self._read(refresh_token, TokenKind.REFRESH)
        return None if signed is None else signed.session_id

    def read(self, token: str) -> SignedToken | None:
        """What a token of either kind says, if it is one of ours and has not expired."""
        return self._read(token, TokenKind.ACCESS) or self._read(token, TokenKind.REFRESH)

    def digest(self, refresh_token: str) -> bytes:
        """SHA-256: the token holds more randomness than anybody can guess, so nothing slower is needed."""
        return hashlib.sha256(refresh_token.encode()).digest()

    def seal_successor(self, refresh_token: str, successor: str) -> bytes:
        """Under a key that is made from `refresh_token` and kept nowhere."""
        return seal(
            key_from(refresh_token.encode(), _SUCCESSOR), successor.encode(), self.digest(refresh_token)
        )

    def unseal_successor(self, refresh_token: str, sealed: bytes) -> str:
        """The reverse."""
        return unseal(
            key_from(refresh_token.encode(), _SUCCESSOR), sealed, self.digest(refresh_token)
        ).decode()

    def _read(self, token: str, kind: TokenKind) -> SignedToken | None:
        is_access = kind is TokenKind.ACCESS
        try:
            claims = jwt.verify(
                token,
                self.keys.published,
                now=time.time(),
                issuer=self.settings.issuer,
                audience=self.settings.audience if is_access else self.settings.refresh_audience,
                algorithms=self.settings.algorithms,
                kind=jwt.ACCESS_TOKEN if is_access else jwt.REFRESH_TOKEN,
            )
        except jwt.TokenRefused:
            return None
        session_id, user_id = parse_id(claims.session_id), parse_id(claims.subject)
        if session_id is None or user_id is None:
            return None
        return SignedToken(
            kind,
            claims.token_id,
            claims.key_id,
            session_id,
            user_id,
            claims.client_id,
            claims.issuer,
            claims.audience,
            issued_at=moment(claims.issued_at),
            not_before=moment(claims.not_before),
            expires_at=moment(claims.expires),
            roles=claims.roles,
        )

    def _common_claims(self, session: Session, now: datetime) -> dict[str, Any]:
        return {
            "iss": self.settings.issuer,
            "sub": str(session.user_id),
            "client_id": CLIENT_ID,
            "iat": milliseconds(now) / 1000,
            "nbf": seconds(now),
            "jti": secrets.token_urlsafe(TOKEN_ID_BYTES),
            "sid": str(session.session_id),
        }

    def _sign(self, claims: dict[str, Any], kind: str) -> str:
        key = self.keys.signing
        headers = {"kid": key.key_id, "typ": kind}
        return pyjwt.encode(claims, key.private, algorithm=key.algorithm, headers=headers)
