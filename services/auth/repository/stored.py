"""All that is kept, in one database."""

from dataclasses import dataclass
from datetime import timedelta

from services.auth.domain.audit import Actor
from services.auth.domain.guessing import GuessingLimits
from services.auth.repository.accounts import PostgresAccountRepository
from services.auth.repository.audit import PostgresAuditLog
from services.auth.repository.clients import PostgresClientRepository
from services.auth.repository.guesses import PostgresGuessRepository
from services.auth.repository.keys import PostgresKeyRepository
from services.auth.repository.passwords import PostgresPasswordRepository
from services.auth.repository.revocations import PostgresRevocationRepository
from services.auth.repository.second_factors import PostgresSecondFactorRepository
from services.auth.repository.sessions import PostgresSessionRepository
from services.auth.repository.standings import PostgresStandingRepository
from shared.db.database import Database


@dataclass(frozen=True, slots=True)
class Stored:
    """One repository for each thing."""

    accounts: PostgresAccountRepository
    passwords: PostgresPasswordRepository
    second_factors: PostgresSecondFactorRepository
    guesses: PostgresGuessRepository
    sessions: PostgresSessionRepository
    revocations: PostgresRevocationRepository
    standings: PostgresStandingRepository
    keys: PostgresKeyRepository
    clients: PostgresClientRepository
    audit: PostgresAuditLog

    @classmethod
    def in_database(
        cls, database: Database, revocation_lifetime: timedelta, guessing: GuessingLimits, actor: Actor
    ) -> "Stored":
        """`actor` is whom the audit table names where no request is being answered."""
        revocations = PostgresRevocationRepository(database, revocation_lifetime)
        return cls(
            accounts=PostgresAccountRepository(database, revocations),
            passwords=PostgresPasswordRepository(database),
            second_factors=PostgresSecondFactorRepository(database),
            guesses=PostgresGuessRepository(database, guessing),
            sessions=PostgresSessionRepository(database, revocations),
            revocations=revocations,
            standings=PostgresStandingRepository(database, revocations),
            keys=PostgresKeyRepository(database),
            clients=PostgresClientRepository(database),
            audit=PostgresAuditLog(database, actor),
        )
