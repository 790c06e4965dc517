"""What the WebSocket gateway can be told, and what it assumes."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from shared.auth.settings import TokenSettings
from shared.config import ConfigError, Environment
from shared.websocket.connection import SocketLimits
from shared.websocket.pace import Rate

_DEFAULT_PORTS = {"http": "80", "https": "443"}
_ORIGIN = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?/?"
)


@dataclass(frozen=True, slots=True)
class SocketSettings:
    """Who may open sockets, how many, and what each may cost."""

    origins: frozenset[str]  # of the pages that may
    connections: int  # of this process
    connections_per_user: int  # to this process
    subscriptions: int  # of one connection
    reconnect_spread: float  # seconds over which clients come back when we leave
    socket: SocketLimits

    @classmethod
    def read(cls, environment: Environment) -> "SocketSettings":
        """From WS_*, and PUBLIC_URL. Raises ConfigError."""
        limits = SocketLimits()
        rate = environment.integer("WS_MESSAGES_PER_SECOND", int(limits.frames.per_second), minimum=1)
        burst = environment.integer("WS_MESSAGE_BURST", int(limits.frames.burst), minimum=1)
        return cls(
            origins=_origins(environment),
            connections=environment.integer("WS_CONNECTIONS", 12_000, minimum=1),
            connections_per_user=environment.integer("WS_CONNECTIONS_PER_USER", 20, minimum=1),
            subscriptions=environment.integer("WS_SUBSCRIPTIONS", 100, minimum=1, maximum=1_000),
            reconnect_spread=environment.seconds("WS_RECONNECT_SPREAD_SECONDS", 5, minimum=0, maximum=20),
            socket=SocketLimits(
                message_bytes=environment.integer("WS_MESSAGE_BYTES", limits.message_bytes, minimum=1024),
                frames=Rate(rate, burst),
                queue_bytes=environment.integer("WS_QUEUE_BYTES", limits.queue_bytes, minimum=65_536),
            ),
        )

    def allows(self, origin: str | None) -> bool:
        """Whether a page of that origin may open a socket. Browsers always name it (RFC 6454)."""
        return origin is None or origin_of(origin) in self.origins


def _origins(environment: Environment) -> frozenset[str]:
    """WS_ALLOWED_ORIGINS, or else that of the main gateway's own pages."""
    own = urlsplit(TokenSettings.read(environment).issuer)
    given = environment.words("WS_ALLOWED_ORIGINS") or (f"{own.scheme}://{own.netloc}",)
    origins = [origin_of(each) for each in given]
    if not all(origins):
        raise ConfigError("WS_ALLOWED_ORIGINS", "must name origins like https://shop.example")
    return frozenset(filter(None, origins))


def origin_of(url: str) -> str | None:
    """Scheme, host and port in one spelling (RFC 6454 section 4); None for what has no origin."""
    found = _ORIGIN.fullmatch(url.lower())
    return found and f"{found['scheme']}://{found['host']}:{found['port'] or _DEFAULT_PORTS[found['scheme']]}"
