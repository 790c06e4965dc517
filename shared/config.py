"""Settings: from environment variables to typed values, read once when a process starts.

Each process has a frozen dataclass of its own, filled through `Environment`. A bad value raises ConfigError,
which names the key. Secrets are wrapped so that no repr, log line or error can show them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from shared.ports import RPC_STEP, port_of

LOOPBACK = "127.0.0.1"
MAX_PORT = 65_535
_ADDRESS = re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})")
_INTEGER = re.compile(r"-?[0-9]{1,18}")
CHECKOUT = Path(__file__).resolve().parent.parent


class ConfigError(Exception):
    """A setting that is missing or cannot be used. The message names the key and never shows a secret."""

    def __init__(self, key: str, detail: str) -> None:
        super().__init__(f"{key}: {detail}")
        self.key = key


class Address(NamedTuple):
    """Where a server listens."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that must not be shown."""

    value: str = field(repr=False)

    def __str__(self) -> str:
        return "(secret)"


def identity_key_setting(caller: str, callee: str) -> str:
    """The name of the setting with the key that signs what `caller` says to `callee`."""
    return f"IDENTITY_KEY_{caller.upper()}_{callee.upper()}"


def _is_address(text: str) -> bool:
    """Whether it is `host:port`."""
    found = _ADDRESS.fullmatch(text)
    return found is not None and 1 <= int(found["port"]) <= MAX_PORT


def _is_url(text: str, schemes: tuple[str, ...]) -> bool:
    """Whether it is an absolute URL with one of `schemes`."""
    try:
        parts = urlsplit(text)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _is_kafka_url(text: str) -> bool:
    """Whether it is `kafka://host:port[,host:port…]`."""
    scheme, _, addresses = text.partition("://")
    return scheme == "kafka" and all(map(_is_address, addresses.split(",")))


class Environment:
    """Reads settings from `values` (normally os.environ). Every method raises ConfigError on a bad value."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = values
        self.home = Path(self.text("PLAINSTACK_HOME", str(CHECKOUT / ".plainstack")))
        self.port_base = self.integer("PORT_BASE", 8000, minimum=1024, maximum=64000)
        self.instance = self._instance()

    def text(self, key: str, default: str | None = None) -> str:
        """The setting as it stands; an empty value counts as missing."""
        value = self.values.get(key, "").strip() or default
        if value is None:
            raise ConfigError(key, "is required and not set")
        return value

    def integer(self, key: str, default: int, *, minimum: int = 0, maximum: int = 2**53) -> int:
        """A whole number from `minimum` to `maximum`."""
        text = self.text(key, str(default))
        if not _INTEGER.fullmatch(text):
            raise ConfigError(key, f"must be a whole number, not {text!r}")
        if not minimum <= int(text) <= maximum:
            raise ConfigError(key, f"must be from {minimum} to {maximum}, not {text}")
        return int(text)

    def seconds(self, key: str, default: float, *, minimum: float = 0.001, maximum: float = 1e9) -> float:
        """A duration in seconds."""
        text = self.text(key, str(default))
        try:
            value = float(text)
        except ValueError:
            raise ConfigError(key, f"must be a number of seconds, not {text!r}") from None
        if not minimum <= value <= maximum:  # also refuses NaN
            raise ConfigError(key, f"must be from {minimum:g} to {maximum:g} seconds, not {text}")
        return value

    def choice(self, key: str, default: str, choices: tuple[str, ...]) -> str:
        """One of `choices`."""
        value = self.text(key, default)
        if value not in choices:
            raise ConfigError(key, f"must be one of {', '.join(choices)}, not {value!r}")
        return value

    def words(self, key: str, default: str = "") -> tuple[str, ...]:
        """A comma-separated list, blanks dropped."""
        return tuple(word.strip() for word in self.values.get(key, default).split(",") if word.strip())

    def url(self, key: str, default: str, schemes: tuple[str, ...]) -> str:
        """An absolute URL with one of `schemes`. It may carry a password, so no error shows it."""
        value = self.text(key, default)
        if not _is_url(value, schemes):
            raise ConfigError(key, f"must be a URL like {schemes[0]}://host:port")
        return value

    def secret(self, key: str, default: str | None = None) -> Secret:
        """A secret from the variable, or else from the file `secrets/<key in lower case>` under the home."""
        value = self.values.get(key, "").strip()
        if value:
            return Secret(value)
        path = self.home / "secrets" / key.lower()
        try:
            return Secret(path.read_text().strip())
        except FileNotFoundError:
            if default is not None:
                return Secret(default)
            raise ConfigError(key, f"is not set and {path} does not exist; ./scripts/up makes it") from None
        except OSError as unreadable:
            raise ConfigError(key, f"cannot read {path}: {unreadable.strerror}") from None

    def identity_key(self, caller: str, callee: str) -> Secret:
        """The key that signs what `caller` says to `callee`: the secret `IDENTITY_KEY_<CALLER>_<CALLEE>`."""
        return self.secret(identity_key_setting(caller, callee))

    # What PORT_BASE implies

    def port(self, name: str) -> int:
        """Where this instance of `name` listens."""
        return port_of(name, self.port_base, self.instance)

    def service_url(self, service: str) -> str:
        """Where `service` is reached over HTTP: the setting `<SERVICE>_URL`, or its first local instance."""
        default = f"http://{LOOPBACK}:{port_of(service, self.port_base)}"
        return self.url(f"{service.upper()}_URL", default, ("http", "https"))

    def rpc_port(self, service: str) -> int:
        """Where this instance of `service` answers gRPC."""
        return self.port(service) + RPC_STEP

    def rpc_addresses(self, service: str) -> tuple[str, ...]:
        """Where `service` is reached over gRPC: the setting `<SERVICE>_RPC_ADDRESSES`, or its first local
        instance. Each is `host:port`.
        """
        key = f"{service.upper()}_RPC_ADDRESSES"
        addresses = self.words(key) or (f"{LOOPBACK}:{port_of(service, self.port_base) + RPC_STEP}",)
        if not all(map(_is_address, addresses)):
            raise ConfigError(key, "must be host:port, or several with commas between them")
        return addresses

    def database_url(self, service: str) -> Secret:
        """`service`'s own database: the setting `DATABASE_URL_<SERVICE>`, or the embedded PostgreSQL."""
        key = f"DATABASE_URL_{service.upper()}"
        if self.values.get(key):
            return Secret(self.url(key, "", ("postgresql", "postgres")))
        password = quote(self.secret(f"POSTGRES_PASSWORD_{service.upper()}").value, safe="")
        port = port_of("postgres", self.port_base)
        return Secret(f"postgresql://{service}:{password}@{LOOPBACK}:{port}/{service}")

    def redis_url(self) -> Secret:
        """The store: the setting `REDIS_URL`, or the embedded Valkey."""
        if self.values.get("REDIS_URL"):
            return Secret(self.url("REDIS_URL", "", ("redis", "rediss")))
        password = quote(self.secret("VALKEY_PASSWORD").value, safe="")
        return Secret(f"redis://:{password}@{LOOPBACK}:{port_of('valkey', self.port_base)}/0")

    def events_url(self) -> Secret:
        """Who carries events: the setting `EVENTS_URL`, or else the store."""
        value = self.values.get("EVENTS_URL", "").strip()
        if not value:
            return self.redis_url()
        if not _is_kafka_url(value) and not _is_url(value, ("redis", "rediss")):
            detail = "must be a URL like redis://host:port or kafka://host:port[,host:port…]"
            raise ConfigError("EVENTS_URL", detail)
        return Secret(value)

    def _instance(self) -> int:
        """Which instance of its process this is: honcho names them `name.1`, `name.2` …"""
        number = self.values.get("HONCHO_PROCESS_NAME", "").rpartition(".")[2]
        return int(number) if number.isdigit() and int(number) > 0 else 1
