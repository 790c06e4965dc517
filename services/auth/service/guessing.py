"""How guessing is slowed down.

An attempt is counted before it is checked, and taken back afterwards if it was none: so parallel guesses gain
nothing. Whoever checks something that can be guessed does it so:

    attempt = await guessing.admit_user(user_id, Proof.PASSWORD)
    async with guessing.overload_taken_back(attempt):
        ... check, and raise when it is wrong: the attempt stays counted
        await guessing.succeeded(attempt)  # in the unit of work of what the check allows
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import UUID

from services.auth.domain.audit import AuditEntry, AuditLog, Event
from services.auth.domain.guessing import (
    Attempt,
    Count,
    GuessedAt,
    GuessRepository,
    Outcome,
    Proof,
    network_of,
)
from shared.errors import TooManyRequests, Unavailable
from shared.observability.metrics import GUESSES_REFUSED, GUESSING_LOCKS, expose, start_at_zero

_log = logging.getLogger(__name__)


class Guessing:
    """Admits attempts, or refuses them. Besides what each says, all raise Unavailable while counting does."""

    def __init__(self, guesses: GuessRepository, audit: AuditLog) -> None:
        self._guesses = guesses
        self._audit = audit
        for counter in (GUESSING_LOCKS, GUESSES_REFUSED):
            expose(counter)
            start_at_zero(counter, *((kind.value,) for kind in GuessedAt))

    async def admit_login(self, email: str, address: str) -> Attempt:
        """An attempt to log in, counted for the account and for the address. Raises TooManyRequests."""
        return await self._admit(await self._guesses.count_login(email, address))

    async def admit_user(self, user_id: UUID, proof: Proof) -> Attempt:
        """An attempt of a user to prove their identity again. Raises TooManyRequests."""
        return await self._admit(await self._guesses.count_user(user_id, proof))

    async def succeeded(self, attempt: Attempt) -> None:
        """Nobody was guessing: start anew for the account or user. The address may still guess at others."""
        async with self._guesses.unit_of_work():
            for count in attempt.counts:
                if count.guessed_at is GuessedAt.ADDRESS:
                    await self._guesses.take_back(count)
                else:
                    await self._guesses.forget(count)

    async def take_back(self, attempt: Attempt) -> None:
        """Nothing was guessed: as if the attempt had not been made."""
        async with self._guesses.unit_of_work():
            for count in attempt.counts:
                await self._guesses.take_back(count)

    @asynccontextmanager
    async def overload_taken_back(self, attempt: Attempt) -> AsyncIterator[None]:
        """Take the attempt back when the block raises Unavailable: our troubles must not lock anybody out.

        As well as can be: with the database away, it stays counted.
        """
        try:
            yield
        except Unavailable:
            with suppress(Unavailable):
                await self.take_back(attempt)
            raise

    async def remember_network(self, user_id: UUID, address: str) -> None:
        """Logged in from there: what strangers guess does not shut that network out."""
        await self._guesses.remember_network(user_id, network_of(address))

    async def _admit(self, attempt: Attempt) -> Attempt:
        async with self.overload_taken_back(attempt):
            for count in attempt.counts:
                if count.outcome is Outcome.LOCKED:
                    await self._tell_of_lock(count, attempt.user_id)
        for count in attempt.counts:
            if count.outcome is Outcome.REFUSED:
                raise _refusal(count)
        return attempt

    async def _tell_of_lock(self, count: Count, user_id: UUID | None) -> None:
        GUESSING_LOCKS.labels(count.guessed_at).inc()
        whom = None if count.guessed_at is GuessedAt.ADDRESS else user_id
        details = {"kind": str(count.guessed_at), "seconds": f"{count.locked_for.total_seconds():g}"}
        await self._audit.write(AuditEntry(Event.GUESSING_LOCKED, whom, details=details))
        _log.info("locked for guessing", extra=details)


def _refusal(count: Count) -> TooManyRequests:
    GUESSES_REFUSED.labels(count.guessed_at).inc()
    seconds = count.locked_for.total_seconds()
    return TooManyRequests(
        "Too many attempts. Try again later.", code="too-many-attempts", retry_after=seconds
    )
