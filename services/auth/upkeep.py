"""What the auth server does by itself, for as long as it runs."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta

from services.auth.repository.guesses import PostgresGuessRepository
from services.auth.repository.revocations import PostgresRevocationRepository
from services.auth.repository.sessions import PostgresSessionRepository
from services.auth.revocations import RevocationSpreader
from services.auth.service.accounts import AccountService, NewAccount
from services.auth.signing_keys import KeyRing
from shared.auth.revocation_store import RevocationStore
from shared.db.database import Database
from shared.errors import Unavailable
from shared.observability.trouble import Trouble

SPREAD_SECONDS = 0.25  # a store that is back has all revocations again within a second
KEYS_SECONDS = 0.25  # how late gateways are told of a new key at most; who meets it earlier, asks for it
ERASE_SECONDS = 5.0
DROP_SECONDS = 600.0
RETRY_SECONDS = 0.25

Work = Callable[[], Awaitable[object]]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Duty:
    """Work to be done for ever, `seconds` apart."""

    name: str
    work: Work
    seconds: float


def telling_the_gateways(
    keys: KeyRing, store: RevocationStore, revocations: RevocationSpreader
) -> tuple[Duty, ...]:
    """What gateways must hear of, whoever has written it into the database.

    It does not matter which they hear of first, a revoked key or the one that follows it: an auth server
    reads the keys before it signs, and a gateway fetches those that it does not know.
    """
    return (
        Duty("signing keys", KeyUpkeep(keys, store), KEYS_SECONDS),
        Duty("revocations", revocations.spread, SPREAD_SECONDS),
    )


def cleaning(
    sessions: PostgresSessionRepository,
    revocations: PostgresRevocationRepository,
    guesses: PostgresGuessRepository,
    grace: timedelta,
) -> tuple[Duty, ...]:
    """What is forgotten in time. `grace` is for how long lost answers are repeated."""

    async def erase_sealed() -> None:
        await sessions.erase_sealed_successors(grace)

    return (
        Duty("sealed successors", erase_sealed, ERASE_SECONDS),
        Duty("expired sessions", sessions.drop_expired, DROP_SECONDS),
        Duty("expired revocations", revocations.drop_expired, DROP_SECONDS),
        Duty("forgotten guesses", guesses.drop_forgotten, DROP_SECONDS),
    )


async def keep_up(database: Database, all_duties: Iterable[Duty]) -> None:
    """Do `all_duties` for ever, as soon as the database has its tables."""
    await database.wait_until_migrated()
    await asyncio.gather(*map(repeatedly, all_duties))


async def repeatedly(duty: Duty) -> None:
    """Do one duty for ever; sooner again after a failure, none of which ends it."""
    trouble = Trouble(_log, "upkeep fails", "upkeep works again")
    while True:
        if reason := await _attempt(duty.work):
            trouble.is_now(reason, work=duty.name)
        else:
            trouble.is_over(work=duty.name)
        await asyncio.sleep(RETRY_SECONDS if reason else duty.seconds)


async def _attempt(work: Work) -> str:
    """What went wrong; empty when nothing did."""
    try:
        await work()
    except Unavailable as away:
        return away.detail
    except Exception as failure:
        _log.exception("upkeep fails unexpectedly")
        return type(failure).__name__
    return ""


class KeyUpkeep:
    """Reads the signing keys again, and tells the gateways when others are published than before."""

    def __init__(self, keys: KeyRing, store: RevocationStore) -> None:
        self._keys = keys
        self._store = store
        self._announced = b""

    async def __call__(self) -> None:
        """Once. Raises Unavailable."""
        await self._keys.load()
        if self._keys.jwks != self._announced:
            await self._store.announce_signing_keys()
            self._announced = self._keys.jwks


async def ensure_admin(accounts: AccountService, admin: NewAccount | None) -> None:
    """Create the admin that the settings ask for, as soon as the database is there."""
    while admin is not None:
        try:
            if await accounts.ensure_admin(admin):
                _log.info("admin created")
            return
        except Unavailable:
            await asyncio.sleep(RETRY_SECONDS)
