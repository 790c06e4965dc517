"""What the auth server does by itself, for as long as it runs."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from services.auth.service import AccountService, NewAccount
from services.auth.signing_keys import KeyRing
from shared.auth.revocation_store import RevocationStore
from shared.errors import Unavailable

SPREAD_SECONDS = 0.25  # a store that is back has all revocations again within a second
KEYS_SECONDS = 5.0  # how late another auth server's new key is known here
ERASE_SECONDS = 5.0
DROP_SECONDS = 600.0
RETRY_SECONDS = 0.25

Work = Callable[[], Awaitable[object]]

_log = logging.getLogger(__name__)


async def repeatedly(name: str, work: Work, seconds: float) -> None:
    """Do `work` for ever, `seconds` apart; sooner again after a failure, none of which ends it."""
    trouble = ""
    while True:
        before, trouble = trouble, await _attempt(work)
        if trouble and trouble != before:
            _log.warning("upkeep fails", extra={"work": name, "reason": trouble})
        elif before and not trouble:
            _log.info("upkeep works again", extra={"work": name})
        await asyncio.sleep(RETRY_SECONDS if trouble else seconds)


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
