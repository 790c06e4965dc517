"""What the one that issues tokens and those that verify them must agree on."""

from dataclasses import dataclass

from shared.auth.jwk import ALGORITHMS
from shared.config import LOOPBACK, ConfigError, Environment
from shared.ports import port_of


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """Who makes tokens, for whom, with which algorithms."""

    issuer: str  # PUBLIC_URL: also where clients find the issuer's metadata
    audience: str  # TOKEN_AUDIENCE, PUBLIC_URL by default
    algorithms: tuple[str, ...]  # TOKEN_ALGORITHMS: what verifiers accept

    @classmethod
    def read(cls, environment: Environment) -> "TokenSettings":
        """From the environment; ConfigError names a bad key."""
        default = f"http://{LOOPBACK}:{port_of('gateway', environment.port_base)}"
        issuer = environment.url("PUBLIC_URL", default, ("http", "https")).rstrip("/")
        algorithms = environment.words("TOKEN_ALGORITHMS", ",".join(ALGORITHMS))
        if not algorithms or not set(algorithms) <= set(ALGORITHMS):
            raise ConfigError("TOKEN_ALGORITHMS", f"must name some of {', '.join(ALGORITHMS)}")
        return cls(issuer, environment.text("TOKEN_AUDIENCE", issuer), algorithms)

    @property
    def refresh_audience(self) -> str:
        """Whom refresh tokens are for: the auth server alone, so that no gateway takes one."""
        return f"{self.issuer}/auth"
