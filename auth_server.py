"""The auth server: accounts, passwords, sessions, tokens, signing keys. `python auth_server.py`.

It stands behind the gateway like every service and trusts nobody but the gateway's signed headers. Its layers
are in services/auth/; here they are put together.
"""

from contextlib import AsyncExitStack
from pathlib import Path

from services.auth.handler import auth_routes
from services.auth.passwords import BcryptPasswords
from services.auth.repository import (
    PostgresAccountRepository,
    PostgresKeyRepository,
    PostgresRevocationRepository,
)
from services.auth.revocations import RevocationSpreader
from services.auth.service import AccountService, SessionService
from services.auth.settings import REVOCATION_SLACK, AuthSettings
from services.auth.signing_keys import KeyRing
from services.auth.tokens import SignedTokens
from services.auth.upkeep import duties, ensure_admin, keep_up
from shared.auth.revocation_store import RevocationStore
from shared.config import Environment
from shared.db.database import Database
from shared.runtime import Readiness, forever, run
from shared.service import ServiceSettings, serve_service
from shared.tasks import background

NAME = "auth"
MIGRATIONS = Path(__file__).parent / "services/auth/migrations"


async def main(environment: Environment) -> None:
    """Connect, wire, serve until told to stop. Neither database nor store has to be there at the start."""
    service, settings = ServiceSettings.read(environment, NAME), AuthSettings.read(environment)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(service.database_url, MIGRATIONS))
        store = await stack.enter_async_context(RevocationStore(settings.redis_url))
        passwords = BcryptPasswords(settings.bcrypt_cost)
        stack.callback(passwords.close)

        keys = KeyRing(
            PostgresKeyRepository(database), settings.key_encryption_key, settings.signing_algorithm
        )
        revocations = RevocationSpreader(PostgresRevocationRepository(database), store)
        repository = PostgresAccountRepository(database, settings.access_lifetime + REVOCATION_SLACK)
        tokens = SignedTokens(settings.tokens, keys, settings.access_lifetime)
        accounts = AccountService(repository, passwords, revocations)
        sessions = SessionService(repository, passwords, tokens, revocations, settings.sessions)

        readiness = Readiness()
        readiness.require("database", database.check)
        readiness.require("store", store.check)
        readiness.require("signing keys", keys.check)

        upkeep = keep_up(database, duties(keys, store, revocations, repository, settings.sessions.grace))
        await stack.enter_async_context(background(upkeep, "upkeep"))
        await stack.enter_async_context(background(ensure_admin(accounts, settings.admin), "admin"))
        routes = auth_routes(accounts, sessions, keys, settings.tokens)
        await stack.enter_async_context(serve_service(service, routes, readiness))
        await forever()


if __name__ == "__main__":
    run(NAME, main)
