"""One-time tickets: what opens a WebSocket, where a browser cannot send a token.

The auth server issues a ticket into the store (Valkey or Redis); a WebSocket gateway redeems it. Whoever has
the text may use it, once and within seconds. The store knows only its digest, so that nobody who reads the
store, or a copy of it, can use what is there.

Beside the tickets stands when each session ends: a session lives on while it is used, and so do the sockets
that were opened with its tickets. That time is kept as the expiry of a key, which the store moves in one
step, and only ever to a later time.
"""

import hashlib
import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

import msgspec
from redis.exceptions import RedisError

from shared import base64url
from shared.auth.revocation_store import RETRY_AFTER_SECONDS, store_client, what_is_wrong
from shared.config import Secret
from shared.errors import Unavailable
from shared.observability.trouble import IntermittentTrouble

TICKET_BYTES = 32  # 256 random bits, which nobody guesses: so a fast digest of them will do

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a one-time ticket stands for."""

    user_id: str
    display_name: str
    session_id: str
    token_id: str  # of the access token that the ticket was asked for with
    roles: frozenset[str]
    issued_at_ms: int  # Unix ms by the auth database's clock: what a revocation of the user is compared with
    session_expires_ms: int  # Unix ms: when the session ends unless it is used again


class TicketStore:
    """The store at `url`; an async context manager. Its methods raise Unavailable when it does not answer."""

    def __init__(self, url: Secret) -> None:
        self._client = store_client(url)
        self._trouble = IntermittentTrouble(_log, "ticket store fails", "ticket store works again")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def issue(self, ticket: Ticket, seconds: int) -> str:
        """A new ticket, which can be redeemed for so many seconds: 43 characters of base64url."""
        text = base64url.encode(secrets.token_bytes(TICKET_BYTES))
        session, expires_ms = _session_key(ticket.session_id), ticket.session_expires_ms
        async with self._answering(), self._client.pipeline(transaction=True) as together:
            together.set(_ticket_key(text), msgspec.json.encode(ticket), ex=seconds, nx=True)
            together.set(session, "", pxat=expires_ms, nx=True)
            together.pexpireat(session, expires_ms, gt=True)
            await together.execute()
        return text

    async def redeem(self, text: str) -> Ticket | None:
        """What the ticket stands for, to the first who asks; None for a used, expired or unknown one."""
        if not _is_well_formed(text):
            return None
        async with self._answering():
            kept = await self._client.getdel(_ticket_key(text))
        try:
            return None if kept is None else msgspec.json.decode(kept, type=Ticket)
        except msgspec.DecodeError:  # of an auth server that puts other things into it
            _log.warning("a ticket cannot be read")
            return None

    async def count(self, user_id: str, seconds: int) -> tuple[int, float]:
        """One more ticket is wanted: the how-manieth of that user's since a first one, and in how many
        seconds counting begins anew, which is `seconds` after that first one.
        """
        key = f"ticket-count:{user_id}"
        async with self._answering(), self._client.pipeline(transaction=True) as together:
            together.incr(key)
            together.expire(key, seconds, nx=True)
            together.pttl(key)
            number, _, milliseconds_left = await together.execute()
        return number, milliseconds_left / 1000

    async def prolong_session(self, session_id: str, expires_ms: int) -> None:
        """The session ends at that time (Unix ms) now; not kept of one that never had a ticket."""
        async with self._answering():
            await self._client.pexpireat(_session_key(session_id), expires_ms, gt=True)

    async def session_expires_ms(self, session_id: str) -> int | None:
        """When a session that had a ticket ends (Unix ms); None when it has, or the store has lost it."""
        async with self._answering():
            expires_ms = int(await self._client.pexpiretime(_session_key(session_id)))
        return expires_ms if expires_ms > 0 else None

    @asynccontextmanager
    async def _answering(self) -> AsyncIterator[None]:
        try:
            yield
        except (RedisError, OSError) as failure:
            self._trouble.failed(type(failure).__name__, detail=what_is_wrong(failure))
            detail = "The ticket store does not answer."
            raise Unavailable(detail, retry_after=RETRY_AFTER_SECONDS) from failure
        self._trouble.worked()


def _is_well_formed(text: str) -> bool:
    try:
        return len(base64url.decode(text)) == TICKET_BYTES
    except ValueError:
        return False


def _ticket_key(text: str) -> str:
    return f"ticket:{hashlib.sha256(text.encode()).hexdigest()}"


def _session_key(session_id: str) -> str:
    return f"session-expires:{session_id}"
