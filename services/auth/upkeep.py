"""What the auth server does by itself, for as long as it runs."""

import asyncio
import logging
from datetime import timedelta

from services.auth.domain.keys import KnownKeys
from services.auth.repository.stored import Stored
from services.auth.revocations import RevocationSpreader
from services.auth.service.accounts import AccountService, NewAccount
from services.auth.service.key_supply import KeySupply
from shared.auth.revocation_store import RevocationStore
from shared.duties import RETRY_SECONDS, Duty
from shared.errors import Invalid, Unavailable
from shared.runtime import NeedsOperator

SPREAD_SECONDS = 0.25  # a store that is back has all revocations again within a second
KEYS_SECONDS = 0.25  # how late gateways are told of a new key at most; who meets it earlier, asks for it
ERASE_SECONDS = 5.0
DROP_SECONDS = 600.0

_log = logging.getLogger(__name__)


def telling_the_gateways(
    supply: KeySupply, keys: KnownKeys, store: RevocationStore, revocations: RevocationSpreader
) -> tuple[Duty, ...]:
    """What gateways must hear of, whoever has written it into the database.

    It does not matter which they hear of first, a revoked key or the one that follows it: an auth server
    reads the keys before it signs, and a gateway fetches those that it does not know.
    """
    return (
        Duty("signing keys", KeyUpkeep(supply, keys, store), KEYS_SECONDS),
        Duty("revocations", revocations.spread, SPREAD_SECONDS),
    )


def cleaning(stored: Stored, grace: timedelta) -> tuple[Duty, ...]:
    """What is forgotten in time. `grace` is for how long lost answers are repeated."""

    async def erase_sealed() -> None:
        await stored.sessions.erase_sealed_successors(grace)

    return (
        Duty("sealed successors", erase_sealed, ERASE_SECONDS),
        Duty("expired sessions", stored.sessions.drop_expired, DROP_SECONDS),
        Duty("expired revocations", stored.revocations.drop_expired, DROP_SECONDS),
        Duty("forgotten guesses", stored.guesses.drop_forgotten, DROP_SECONDS),
    )


class KeyUpkeep:
    """Reads the signing keys again, and tells the gateways when others are published than before."""

    def __init__(self, supply: KeySupply, keys: KnownKeys, store: RevocationStore) -> None:
        self._supply = supply
        self._keys = keys
        self._store = store
        self._announced = b""

    async def __call__(self) -> None:
        """Once. Raises Unavailable."""
        await self._supply.ensure()
        if self._keys.jwks != self._announced:
            await self._store.announce_signing_keys()
            self._announced = self._keys.jwks


class FirstAdmin:
    """Creates the admin that the settings ask for, as soon as the database is there."""

    def __init__(self, accounts: AccountService, admin: NewAccount | None) -> None:
        self._accounts = accounts
        self._admin = admin
        self._trouble = None if admin is None else Unavailable("has not been looked for yet")

    async def ensure(self) -> None:
        """Returns when there is one, or when none can be made, which `check` tells."""
        while self._trouble is not None:
            try:
                await self._try()
                return
            except Unavailable:
                await asyncio.sleep(RETRY_SECONDS)

    async def check(self) -> None:
        """For Readiness: raises Unavailable until then; NeedsOperator when the password is refused."""
        if self._trouble is not None:
            raise self._trouble.with_traceback(None)

    async def _try(self) -> None:
        assert self._admin is not None
        try:
            if await self._accounts.ensure_admin(self._admin):
                _log.info("admin created")
            self._trouble = None
        except Invalid as refused:
            (fault,) = refused.fields  # the other fields were read as settings, and are ours
            self._trouble = NeedsOperator(f"ADMIN_PASSWORD: {fault.detail}")
            _log.error("no admin can be created", extra={"reason": self._trouble.detail})
