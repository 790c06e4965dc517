"""What the operator's commands work with: the auth server's parts over its database, without the server.

Revocations go to the store at once where it can be reached. Where it cannot, the command has done its work
all the same: the auth server finds what is unsent and sends it.
"""

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from auth_server import MIGRATIONS, NAME, Parts
from scripts.support.opened_database import opened_database
from services.auth.domain.revocations import Revocation
from services.auth.passwords import BcryptPasswords
from services.auth.repository.revocations import PostgresRevocationRepository
from services.auth.revocations import RevocationSpreader
from services.auth.settings import AuthSettings
from shared.auth.revocation_store import RevocationStore
from shared.config import Environment
from shared.errors import Unavailable

NOT_SENT = "admin: the store cannot be reached: gateways hear of this as soon as the auth server reaches it"


@dataclass(frozen=True, slots=True)
class Tools:
    """The parts, which write `operator` into the audit table, and the settings of this command."""

    parts: Parts
    environment: Environment


@asynccontextmanager
async def opened_tools(environment: Environment) -> AsyncIterator[Tools]:
    """Usable while the block runs. Raises ConfigError; SetupError when the database cannot be used."""
    settings = AuthSettings.read(environment)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(opened_database(environment, NAME, MIGRATIONS))
        store = await stack.enter_async_context(RevocationStore(settings.redis_url))
        passwords = BcryptPasswords(settings.bcrypt_cost)
        stack.callback(passwords.close)
        stored = PostgresRevocationRepository(database, settings.revocation_lifetime)
        revocations = _SentIfPossible(RevocationSpreader(stored, store))
        yield Tools(Parts(database, settings, passwords, stored, revocations, "operator"), environment)


class _SentIfPossible:
    """The domain's Revocations, for whom an absent store is no failure."""

    def __init__(self, spreader: RevocationSpreader) -> None:
        self._spreader = spreader

    async def publish(self, revocations: Sequence[Revocation]) -> None:
        """Returns when the store has them, or after saying that it has not."""
        try:
            await self._spreader.publish(revocations)
        except Unavailable:
            print(NOT_SENT, file=sys.stderr)
