"""The auth server: accounts, passwords, sessions, tokens, signing keys. `python auth_server.py`.

It stands behind the gateway like every service and trusts nobody but the gateway's signed headers. Its layers
are in services/auth/; here they are put together.
"""

from contextlib import AsyncExitStack
from pathlib import Path

from services.auth.common_passwords import common_passwords
from services.auth.domain.passwords import PasswordPolicy, Passwords
from services.auth.domain.revocations import Revocations
from services.auth.handler.accounts import AccountHandler
from services.auth.handler.keys import KeyHandler
from services.auth.handler.oauth import OAuthHandler
from services.auth.handler.passwords import PasswordHandler
from services.auth.handler.routes import auth_routes
from services.auth.handler.second_factor import SecondFactorHandler
from services.auth.handler.sessions import SessionHandler
from services.auth.one_time_codes import SealedOneTimeCodes
from services.auth.passwords import BcryptPasswords
from services.auth.repository.accounts import PostgresAccountRepository
from services.auth.repository.audit import PostgresAuditLog
from services.auth.repository.clients import PostgresClientRepository
from services.auth.repository.guesses import PostgresGuessRepository
from services.auth.repository.inspection import PostgresStandingRepository
from services.auth.repository.keys import PostgresKeyRepository
from services.auth.repository.passwords import PostgresPasswordRepository
from services.auth.repository.revocations import PostgresRevocationRepository
from services.auth.repository.second_factors import PostgresSecondFactorRepository
from services.auth.repository.sessions import PostgresSessionRepository
from services.auth.revocations import RevocationSpreader
from services.auth.service.accounts import AccountService
from services.auth.service.administration import AdministrationService
from services.auth.service.clients import ClientService
from services.auth.service.guessing import Guessing
from services.auth.service.inspection import InspectionService
from services.auth.service.keys import KeyService
from services.auth.service.login import LoginService
from services.auth.service.passwords import PasswordService
from services.auth.service.refreshing import RefreshService
from services.auth.service.second_factor import SecondFactorService
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
        self.stored_passwords = PostgresPasswordRepository(database)
        self.stored_sessions = PostgresSessionRepository(database, stored_revocations)

        self.stored_guesses = PostgresGuessRepository(database, settings.guessing)
        self.guessing = Guessing(self.stored_guesses, self.audit)
        stored_keys = PostgresKeyRepository(database)
        key_maker, key_times = settings.key_maker, settings.key_times
        self.keys = KeyRing(stored_keys, key_maker, self.audit, key_times)
        self.key_service = KeyService(stored_keys, key_maker, self.audit, revocations, key_times)
        tokens = SignedTokens(settings.tokens, self.keys, settings.access_lifetime)
        policy = PasswordPolicy(common_passwords())
        self.accounts = AccountService(self.stored_accounts, passwords, policy, self.audit)
        self.second_factor = SecondFactorService(
            PostgresSecondFactorRepository(database),
            self.stored_accounts,
            SealedOneTimeCodes(settings.key_encryption_key, settings.totp_issuer),
            self.guessing,
            self.audit,
        )
        self.login = LoginService(
            self.stored_accounts,
            self.stored_sessions,
            passwords,
            self.stored_passwords,
            self.second_factor,
            self.guessing,
            tokens,
            settings.sessions,
            self.audit,
        )
        self.refreshing = RefreshService(
            self.stored_sessions, tokens, revocations, self.audit, settings.sessions
        )
        self.sessions = SessionService(self.stored_sessions, revocations, self.audit)
        self.administration = AdministrationService(
            self.stored_accounts, self.stored_sessions, self.stored_guesses, revocations, self.audit
        )
        self.passwords = PasswordService(
            self.stored_accounts,
            self.stored_sessions,
            self.stored_passwords,
            passwords,
            policy,
            self.guessing,
            revocations,
            self.audit,
        )
        self.clients = ClientService(PostgresClientRepository(database), self.audit)
        self.inspection = InspectionService(
            tokens,
            PostgresStandingRepository(database, stored_revocations),
            self.stored_sessions,
            stored_revocations,
            revocations,
            self.audit,
        )

    def routes(self) -> list[Route]:
        """What it answers."""
        return auth_routes(
            AccountHandler(self.accounts),
            SessionHandler(self.login, self.refreshing, self.sessions),
            PasswordHandler(self.passwords),
            SecondFactorHandler(self.second_factor),
            OAuthHandler(self.clients, self.inspection),
            KeyHandler(self.keys, self._settings.tokens),
        )

    def duties(self) -> tuple[Duty, ...]:
        """What it does by itself, besides what concerns the store."""
        grace = self._settings.sessions.grace
        return cleaning(self.stored_sessions, self.stored_revocations, self.stored_guesses, grace)


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
