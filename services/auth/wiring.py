"""The auth server's use cases put together, theme by theme: for the server and the operator's commands."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

from services.auth.common_passwords import common_passwords
from services.auth.domain.audit import SERVER, Actor
from services.auth.domain.passwords import PasswordPolicy, Passwords
from services.auth.domain.revocations import Revocations
from services.auth.domain.tickets import Tickets
from services.auth.domain.users import UserRepositories
from services.auth.one_time_codes import SealedOneTimeCodes
from services.auth.passwords import BcryptPasswords
from services.auth.repository.stored import Stored
from services.auth.revocations import RevocationSpreader
from services.auth.service.accounts import AccountService
from services.auth.service.administration import AdministrationService
from services.auth.service.clients import ClientService
from services.auth.service.guessing import Guessing
from services.auth.service.inspection import InspectionService
from services.auth.service.key_supply import KeySupply
from services.auth.service.keys import KeyService
from services.auth.service.login import LoginService
from services.auth.service.passwords import PasswordService
from services.auth.service.refreshing import RefreshService
from services.auth.service.second_factor import SecondFactorService
from services.auth.service.sessions import SessionService
from services.auth.service.tickets import TicketService
from services.auth.settings import AuthSettings
from services.auth.signing_keys import KeyRing
from services.auth.tickets import StoredTickets
from services.auth.tokens import SignedTokens
from shared.auth.revocation_store import RevocationStore
from shared.auth.tickets import TicketStore
from shared.db.database import Database

NAME = "auth"
MIGRATIONS = Path(__file__).parent / "migrations"


@dataclass(frozen=True, slots=True)
class Ground:
    """What the use cases stand on."""

    settings: AuthSettings
    stored: Stored
    store: RevocationStore
    spreader: RevocationSpreader
    revocations: Revocations  # how a use case has gateways hear of its own: through the spreader
    passwords: Passwords
    tickets: Tickets

    @property
    def users(self) -> UserRepositories:
        """Of all that is stored, what concerns users."""
        return UserRepositories(self.stored.accounts, self.stored.passwords, self.stored.sessions)


class AuthServices:
    """The use cases, and the ground that they stand on."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.stored, self.audit = ground.stored, ground.stored.audit
        self.key_ring, self.key_supply, self.keys = _keys(ground)
        settings = ground.settings
        tokens = SignedTokens(settings.tokens, self.key_ring, settings.access_lifetime)
        self.guessing, self.second_factor = _what_slows_guessing(ground)
        self.accounts, self.passwords, self.administration = _accounts(ground, self.guessing)
        self.login = _login(ground, tokens, self.guessing, self.second_factor)
        self.refreshing, self.sessions = _sessions(ground, tokens)
        self.tickets = TicketService(self.stored.sessions, ground.tickets, settings.tickets_per_minute)
        self.clients, self.inspection = _clients(ground, tokens)


@asynccontextmanager
async def opened_services(
    database: Database,
    settings: AuthSettings,
    actor: Actor = SERVER,
    publishing: Callable[[RevocationSpreader], Revocations] = lambda spreader: spreader,
) -> AsyncIterator[AuthServices]:
    """The use cases over `database`, with the store and the threads that hash, while the block runs.

    `actor` is whom the audit table names where no request is being answered. `publishing` stands before the
    spreader where a use case tells of what it has revoked.
    """
    async with RevocationStore(settings.redis_url) as store, TicketStore(settings.redis_url) as tickets:
        with closing(BcryptPasswords(settings.bcrypt_cost)) as passwords:
            stored = Stored.in_database(database, settings.revocation_lifetime, settings.guessing, actor)
            spreader = RevocationSpreader(stored.revocations, store)
            revocations = publishing(spreader)
            yield AuthServices(
                Ground(settings, stored, store, spreader, revocations, passwords, StoredTickets(tickets))
            )


def _keys(ground: Ground) -> tuple[KeyRing, KeySupply, KeyService]:
    stored, audit = ground.stored.keys, ground.stored.audit
    maker, times = ground.settings.key_maker, ground.settings.key_times
    ring = KeyRing(stored, maker, times)
    supply = KeySupply(ring, stored, maker, audit, times)
    return ring, supply, KeyService(stored, maker, audit, ground.revocations, times)


def _what_slows_guessing(ground: Ground) -> tuple[Guessing, SecondFactorService]:
    stored, settings = ground.stored, ground.settings
    guessing = Guessing(stored.guesses, stored.audit)
    codes = SealedOneTimeCodes(settings.key_encryption_key, settings.totp_issuer)
    second_factor = SecondFactorService(stored.second_factors, stored.accounts, codes, guessing, stored.audit)
    return guessing, second_factor


def _accounts(
    ground: Ground, guessing: Guessing
) -> tuple[AccountService, PasswordService, AdministrationService]:
    stored, hashing, revocations = ground.stored, ground.passwords, ground.revocations
    policy = PasswordPolicy(common_passwords())
    return (
        AccountService(stored.accounts, hashing, policy, stored.audit),
        PasswordService(ground.users, hashing, policy, guessing, revocations, stored.audit),
        AdministrationService(stored.accounts, stored.sessions, stored.guesses, revocations, stored.audit),
    )


def _login(
    ground: Ground, tokens: SignedTokens, guessing: Guessing, second_factor: SecondFactorService
) -> LoginService:
    lifetimes, audit = ground.settings.sessions, ground.stored.audit
    return LoginService(ground.users, ground.passwords, second_factor, guessing, tokens, lifetimes, audit)


def _sessions(ground: Ground, tokens: SignedTokens) -> tuple[RefreshService, SessionService]:
    sessions, audit, revocations = ground.stored.sessions, ground.stored.audit, ground.revocations
    return (
        RefreshService(sessions, tokens, revocations, ground.tickets, audit, ground.settings.sessions),
        SessionService(sessions, revocations, audit),
    )


def _clients(ground: Ground, tokens: SignedTokens) -> tuple[ClientService, InspectionService]:
    stored, revocations = ground.stored, ground.revocations
    inspection = InspectionService(
        tokens, stored.standings, stored.sessions, stored.revocations, revocations, stored.audit
    )
    return ClientService(stored.clients, stored.audit), inspection
