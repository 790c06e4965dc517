"""The auth server: accounts, passwords, sessions, tokens, signing keys. `python auth_server.py`.

It stands behind the gateway like every service and trusts nobody but the gateway's signed headers. Its layers
are in services/auth/; here they are put together.
"""

from contextlib import AsyncExitStack
from pathlib import Path

from services.auth.domain.passwords import Passwords
from services.auth.domain.revocations import Revocations
from services.auth.handler.accounts import AccountHandler
from services.auth.handler.keys import KeyHandler
from services.auth.handler.routes import auth_routes
from services.auth.handler.sessions import SessionHandler
from services.auth.passwords import BcryptPasswords
from services.auth.repository.accounts import PostgresAccountRepository
from services.auth.repository.audit import PostgresAuditLog
from services.auth.repository.keys import PostgresKeyRepository
from services.auth.repository.revocations import PostgresRevocationRepository
from services.auth.repository.sessions import PostgresSessionRepository
from services.auth.revocations import RevocationSpreader
from services.auth.service.accounts import AccountService
from services.auth.service.login import LoginService
from services.auth.service.sessions import SessionService
from services.auth.settings import AuthSettings
from services.auth.signing_keys import KeyRing
from services.auth.tokens import SignedTokens
from services.auth.upkeep import Duty, cleaning, ensure_admin, keep_up, telling_the_gateways
from shared.auth.revocation_store import RevocationStore
from shared.config import Environment
from shared.db.database import Database
from shared.http.routing import Route
from shared.runtime import Readiness, forever, run
from shared.service import ServiceSettings, serve_service
from shared.tasks import background

NAME = "auth"
MIGRATIONS = Path(__file__).parent / "services/auth/migrations"


class Parts:
    """The auth server over one database. `revocations` says how gateways hear of what is revoked.

    `actor` is who acts where no request is being answered, as the audit table shall say: operator or server.
    """

    def __init__(
        self,
        database: Database,
        settings: AuthSettings,
        passwords: Passwords,
        stored_revocations: PostgresRevocationRepository,
        revocations: Revocations,
        actor: str = "server",
    ) -> None:
        self._settings = settings
        self.audit = PostgresAuditLog(database, actor)
        self.stored_revocations = stored_revocations
        self.stored_accounts = PostgresAccountRepository(database, stored_revocations)
        self.stored_sessions = PostgresSessionRepository(database, stored_revocations)

        self.keys = KeyRing(
            PostgresKeyRepository(database), settings.key_encryption_key, settings.signing_algorithm
        )
        tokens = SignedTokens(settings.tokens, self.keys, settings.access_lifetime)
        self.accounts = AccountService(self.stored_accounts, passwords, revocations)
        self.login = LoginService(
            self.stored_accounts, self.stored_sessions, passwords, tokens, settings.sessions
        )
        self.sessions = SessionService(self.stored_sessions, tokens, revocations, settings.sessions)

    def routes(self) -> list[Route]:
        """What it answers."""
        return auth_routes(
            AccountHandler(self.accounts),
            SessionHandler(self.login, self.sessions),
            KeyHandler(self.keys, self._settings.tokens),
        )

    def duties(self) -> tuple[Duty, ...]:
        """What it does by itself, besides what concerns the store."""
        return cleaning(self.stored_sessions, self.stored_revocations, self._settings.sessions.grace)


async def main(environment: Environment) -> None:
    """Connect, wire, serve until told to stop. Neither database nor store has to be there at the start."""
    service, settings = ServiceSettings.read(environment, NAME), AuthSettings.read(environment)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(service.database_url, MIGRATIONS))
        store = await stack.enter_async_context(RevocationStore(settings.redis_url))
        passwords = BcryptPasswords(settings.bcrypt_cost)
        stack.callback(passwords.close)
        stored_revocations = PostgresRevocationRepository(database, settings.revocation_lifetime)
        revocations = RevocationSpreader(stored_revocations, store)
        parts = Parts(database, settings, passwords, stored_revocations, revocations)

        readiness = Readiness()
        readiness.require("database", database.check)
        readiness.require("store", store.check)
        readiness.require("signing keys", parts.keys.check)

        duties = (*telling_the_gateways(parts.keys, store, revocations), *parts.duties())
        await stack.enter_async_context(background(keep_up(database, duties), "upkeep"))
        await stack.enter_async_context(background(ensure_admin(parts.accounts, settings.admin), "admin"))
        await stack.enter_async_context(serve_service(service, parts.routes(), readiness))
        await forever()


if __name__ == "__main__":
    run(NAME, main)
