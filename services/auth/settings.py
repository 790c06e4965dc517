"""Everything about the auth server that can be set."""

from dataclasses import dataclass, field
from datetime import timedelta

from services.auth.domain.accounts import email_fault
from services.auth.domain.passwords import password_fault
from services.auth.domain.sessions import SessionLifetimes
from services.auth.service.accounts import NewAccount
from services.auth.signing_keys import ENCRYPTION_KEY_SETTING, GENERATE, read_encryption_key
from shared.auth.jwt import LEEWAY_SECONDS
from shared.auth.settings import TokenSettings
from shared.config import ConfigError, Environment, Secret

DAY = 86_400
REVOCATION_SLACK = timedelta(
    seconds=LEEWAY_SECONDS + 60
)  # hosts' clocks differ; forgetting late costs nothing


@dataclass(frozen=True, slots=True)
class AuthSettings:
    """Settings of the auth server, with their defaults in `read`."""

    tokens: TokenSettings
    signing_algorithm: str
    key_encryption_key: bytes = field(repr=False)
    access_lifetime: timedelta
    sessions: SessionLifetimes
    bcrypt_cost: int
    redis_url: Secret
    admin: NewAccount | None

    @property
    def revocation_lifetime(self) -> timedelta:
        """How long an access token made just now could be used somewhere."""
        return self.access_lifetime + REVOCATION_SLACK

    @classmethod
    def read(cls, environment: Environment) -> "AuthSettings":
        """From the environment. Raises ConfigError."""

        def duration(key: str, default: float) -> timedelta:
            return timedelta(seconds=environment.seconds(key, default))

        tokens = TokenSettings.read(environment)
        return cls(
            tokens=tokens,
            signing_algorithm=_signing_algorithm(environment, tokens.algorithms),
            key_encryption_key=read_encryption_key(environment.secret(ENCRYPTION_KEY_SETTING)),
            access_lifetime=duration("ACCESS_TOKEN_SECONDS", 600),
            sessions=SessionLifetimes(
                idle=duration("SESSION_IDLE_SECONDS", 30 * DAY),
                longest=duration("SESSION_SECONDS", 90 * DAY),
                grace=duration("REFRESH_GRACE_SECONDS", 10),
            ),
            bcrypt_cost=environment.integer("BCRYPT_COST", 12, minimum=4, maximum=16),
            redis_url=environment.redis_url(),
            admin=_admin(environment),
        )


def _signing_algorithm(environment: Environment, accepted: tuple[str, ...]) -> str:
    """SIGNING_ALGORITHM; tokens that no gateway accepts are not worth signing."""
    algorithm = environment.choice("SIGNING_ALGORITHM", "ES256", tuple(GENERATE))
    if algorithm not in accepted:
        raise ConfigError("SIGNING_ALGORITHM", f"{algorithm} is not one of TOKEN_ALGORITHMS")
    return algorithm


def _admin(environment: Environment) -> NewAccount | None:
    """The admin to create at the first start, if ADMIN_EMAIL is set."""
    if not environment.values.get("ADMIN_EMAIL", "").strip():
        return None
    email, password = environment.text("ADMIN_EMAIL"), environment.secret("ADMIN_PASSWORD").value
    for key, fault in (("ADMIN_EMAIL", email_fault(email)), ("ADMIN_PASSWORD", password_fault(password))):
        if fault is not None:
            raise ConfigError(key, fault[0].lower() + fault[1:])
    return NewAccount(email, password, "Administrator")
