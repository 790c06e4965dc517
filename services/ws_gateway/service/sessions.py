"""A socket lives as long as its session: not as long as the access token that its ticket was got with.

Revocations are pushed by the store within milliseconds, to every gateway. The mirror tells all that it did
not know before, also what it missed while it was away. The end that a session comes to by itself, because
nobody has used it for so long, is looked up when its time has come: it may have been used since.

The store keeps a revocation a minute longer than any token needs it. A mirror that was away for longer may
have missed one for ever. Then everybody is sent away to come back with a new ticket, which no ended session
gets.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Collection, Hashable, Iterator
from contextlib import suppress
from typing import Protocol

from services.ws_gateway.domain.chat import Who
from shared.auth.revocation_list import Kind, Revocation
from shared.errors import Unavailable

SESSION_ENDED = 4401
LOOK_SECONDS = 0.5
OUT_OF_TOUCH_SECONDS = 60.0  # what the auth server adds to a revocation's life

_log = logging.getLogger(__name__)


class Guest(Protocol):
    """Somebody whose socket can be closed."""

    who: Who
    session_expires_ms: int  # Unix milliseconds, as far as is known here

    def close(self, code: int, reason: str) -> None:
        """End the connection, saying why."""

    def leave(self) -> None:
        """End the connection; the client comes back soon."""


class Guests(Protocol):
    """Everybody who is here."""

    def __iter__(self) -> Iterator[Guest]: ...

    def under(self, key: Hashable) -> Collection[Guest]:
        """Those who belong to `key`: see `keys_of`."""


class Expiries(Protocol):
    """Where it is kept when sessions end."""

    async def session_expires_ms(self, session_id: str) -> int | None:
        """Unix milliseconds; None when it has ended. Raises Unavailable."""


def keys_of(who: Who) -> list[Hashable]:
    """What a guest is found by when one of these is revoked."""
    return [(Kind.USER, who.user_id), (Kind.SESSION, who.session_id), (Kind.TOKEN, who.token_id)]


class Sessions:
    """Closes the sockets of sessions that have ended."""

    def __init__(
        self, guests: Guests, expiries: Expiries, wall_clock: Callable[[], float] = time.time
    ) -> None:
        """`wall_clock` gives Unix seconds."""
        self._guests = guests
        self._expiries = expiries
        self._wall_clock = wall_clock
        self._was_out_of_touch = False

    def revoked(self, revocation: Revocation) -> None:
        """A session or token was ended, or all that a user had up to some moment.

        Or a signing key has leaked: nobody here knows whose tokens it made, so all come back with new ones.
        """
        if revocation.kind is Kind.KEY:
            self._send_everybody_away()
        for guest in self._guests.under((revocation.kind, revocation.name)):
            if revocation.kind is not Kind.USER or guest.who.issued_at_ms <= revocation.at_ms:
                guest.close(SESSION_ENDED, "the session has ended")

    async def run(self, age: Callable[[], float]) -> None:
        """Until cancelled: look after sessions that expire. `age` is the mirror's, in seconds."""
        while True:
            self._stay_in_touch(age())
            with suppress(Unavailable):  # open sockets stay while nobody knows; the next look asks again
                await self._look_for_expired(self._wall_clock() * 1000)
            await asyncio.sleep(LOOK_SECONDS)

    def _stay_in_touch(self, age: float) -> None:
        if OUT_OF_TOUCH_SECONDS < age < math.inf:  # nobody has got in before the first load
            self._was_out_of_touch = True
        elif self._was_out_of_touch:
            self._was_out_of_touch = False
            self._send_everybody_away()

    def _send_everybody_away(self) -> None:
        for guest in self._guests:
            guest.leave()

    async def _look_for_expired(self, now_ms: float) -> None:
        for guest in [each for each in self._guests if each.session_expires_ms <= now_ms]:
            await self._expire(guest, now_ms)

    async def _expire(self, guest: Guest, now_ms: float) -> None:
        expires_ms = await self._expiries.session_expires_ms(guest.who.session_id)
        if expires_ms is not None and expires_ms > now_ms:
            guest.session_expires_ms = expires_ms
        else:
            guest.close(SESSION_ENDED, "the session has expired")
