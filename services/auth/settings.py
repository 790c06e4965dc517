"""Everything about the auth server that can be set."""

from dataclasses import dataclass, field
from datetime import timedelta

from services.auth.domain.accounts import email_fault
from services.auth.domain.guessing import GuessingLimits
from services.auth.domain.keys import KeyTimes
from services.auth.domain.sessions import SessionLifetimes
from services.auth.key_maker import ENCRYPTION_KEY_SETTING, GENERATE, SealingKeyMaker, read_encryption_key
from services.auth.revocations import REVOCATION_SLACK
from services.auth.service.accounts import NewAccount
from services.auth.signing_keys import PUBLISHED_AHEAD
from shared.auth.settings import TokenSettings
from shared.config import LOOPBACK, ConfigError, Environment, Secret
from shared.ports import port_of

DAY = 86_400
MAX_ISSUER_CHARACTERS = 64  # more than a phone shows


@dataclass(frozen=True, slots=True)
class AuthSettings:
    """Settings of the auth server, with their defaults in `read`."""

    tokens: TokenSettings
    signing_algorithm: str
    key_encryption_key: bytes = field(repr=False)
    access_lifetime: timedelta
    sessions: SessionLifetimes
    guessing: GuessingLimits
    bcrypt_cost: int
    totp_issuer: str
    ws_url: str  # where a ticket is used
    tickets_per_minute: int  # for each user: far above what a client needs that reconnects again and again
    redis_url: Secret

    @property
    def revocation_lifetime(self) -> timedelta:
        """How long an access token made just now could be used somewhere."""
        return self.access_lifetime + REVOCATION_SLACK

    @property
    def key_maker(self) -> SealingKeyMaker:
        """Who makes and opens the signing keys."""
        return SealingKeyMaker(self.key_encryption_key, self.signing_algorithm)

    @property
    def key_times(self) -> KeyTimes:
        """A key stays for as long as what it has signed: refresh tokens live the longest."""
        return KeyTimes(PUBLISHED_AHEAD, max(self.sessions.idle, self.access_lifetime) + REVOCATION_SLACK)

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
            guessing=_guessing_limits(environment),
            bcrypt_cost=environment.integer("BCRYPT_COST", 12, minimum=4, maximum=16),
            totp_issuer=_totp_issuer(environment),
            ws_url=_ws_url(environment),
            tickets_per_minute=environment.integer("WS_TICKETS_PER_MINUTE", 60, minimum=1),
            redis_url=environment.redis_url(),
        )


def _signing_algorithm(environment: Environment, accepted: tuple[str, ...]) -> str:
    """SIGNING_ALGORITHM; tokens that no gateway accepts are not worth signing."""
    algorithm = environment.choice("SIGNING_ALGORITHM", "ES256", tuple(GENERATE))
    if algorithm not in accepted:
        raise ConfigError("SIGNING_ALGORITHM", f"{algorithm} is not one of TOKEN_ALGORITHMS")
    return algorithm


def _guessing_limits(environment: Environment) -> GuessingLimits:
    """LOGIN_*: after how many failures an account or an address is locked, and for how long.

    At least two failures are free: who mistypes once must not have to wait.
    """
    first_lock = environment.seconds("LOGIN_LOCK_SECONDS", 1)
    return GuessingLimits(
        account_failures=environment.integer("LOGIN_FREE_FAILURES_ACCOUNT", 10, minimum=2),
        address_failures=environment.integer("LOGIN_FREE_FAILURES_ADDRESS", 100, minimum=2),
        window=timedelta(seconds=environment.seconds("LOGIN_FAILURES_SECONDS", 900)),
        first_lock=timedelta(seconds=first_lock),
        longest_lock=timedelta(
            seconds=environment.seconds("LOGIN_LOCK_MAX_SECONDS", max(900, first_lock), minimum=first_lock)
        ),
    )


def _totp_issuer(environment: Environment) -> str:
    """TOTP_ISSUER, the name that authenticator apps show; a colon ends it (Key URI format)."""
    issuer = environment.text("TOTP_ISSUER", "Plainstack")
    if len(issuer) > MAX_ISSUER_CHARACTERS or not issuer.isprintable():
        raise ConfigError("TOTP_ISSUER", f"must be at most {MAX_ISSUER_CHARACTERS} printable characters")
    if ":" in issuer:
        raise ConfigError("TOTP_ISSUER", "must not contain a colon")
    return issuer


def _ws_url(environment: Environment) -> str:
    """PUBLIC_WS_URL, to which `?ticket=…` is added."""
    default = f"ws://{LOOPBACK}:{port_of('ws_gateway', environment.port_base)}/ws"
    url = environment.url("PUBLIC_WS_URL", default, ("ws", "wss"))
    if "?" in url or "#" in url:
        raise ConfigError("PUBLIC_WS_URL", "must have neither a query nor a fragment")
    if url.count("/") <= len("//"):
        raise ConfigError("PUBLIC_WS_URL", "must have a path, like ws://host:port/ws")
    return url


def read_admin(environment: Environment) -> NewAccount | None:
    """The admin to create at the first start, if ADMIN_EMAIL is set. Raises ConfigError.

    Whether the password is good enough is asked when the account is made: rules that have become stricter
    concern nobody who has one.
    """
    if not environment.values.get("ADMIN_EMAIL", "").strip():
        return None
    email = environment.text("ADMIN_EMAIL")
    if (fault := email_fault(email)) is not None:
        raise ConfigError("ADMIN_EMAIL", fault[0].lower() + fault[1:])
    password = environment.secret("ADMIN_PASSWORD", "").value
    if not password:
        raise ConfigError("ADMIN_PASSWORD", "is required where ADMIN_EMAIL is set")
    return NewAccount(email, password, "Administrator")
