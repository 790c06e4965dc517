"""The processes of one system that listen somewhere: where each does, and where it says that it is ready."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from scripts.support.records import Records
from scripts.support.service_names import embedded_services
from shared.callers import rpc_callers
from shared.config import CHECKOUT, LOOPBACK, Environment
from shared.ports import OFFSETS, RPC_STEP, port_of
from shared.proxy.config import Address, read_config

ENGINES = ("postgres", "valkey", "kafka")
EVERYWHERE = ("", "0.0.0.0", "::")  # noqa: S104 - addresses to listen on, none that one connects to


@dataclass(frozen=True, slots=True)
class Part:
    """One process of the Procfile; `addresses` by name, the last of which answers /readyz.

    The names are those of `shared.ports`, but for the ports that speak gRPC and Kafka's controller.
    """

    name: str
    addresses: dict[str, Address]
    records: Records

    @property
    def is_engine(self) -> bool:
        """Engines speak no HTTP: their record says when they are ready."""
        return self.name in ENGINES

    @property
    def ready_address(self) -> Address:
        """Where it answers /readyz."""
        return reachable(list(self.addresses.values())[-1])


def parts_of(names: Iterable[str], environment: Environment) -> list[Part]:
    """Those of the Procfile's processes that we know. ConfigError when the gateway's file is at fault."""
    records = Records(environment.home)
    return [Part(name, _addresses(name, environment), records) for name in names if name in OFFSETS]


def runs_here(name: str, environment: Environment) -> bool:
    """False for an engine in whose place an external server stands, or that nobody has asked for."""
    if name == "postgres":
        return bool(embedded_services(environment))
    if name == "kafka":
        return environment.values.get("EVENTS_URL", "").strip() == embedded_kafka_url(environment)
    return name != "valkey" or not environment.values.get("REDIS_URL")


def embedded_kafka_url(environment: Environment) -> str:
    """The EVENTS_URL that asks for the embedded Kafka."""
    return f"kafka://{LOOPBACK}:{port_of('kafka', environment.port_base)}"


def reachable(address: Address) -> Address:
    """Where one connects to what listens on `address`."""
    return Address(LOOPBACK, address.port) if address.host in EVERYWHERE else address


def _addresses(name: str, environment: Environment) -> dict[str, Address]:
    if name == "gateway":
        path = environment.text("GATEWAY_CONFIG", str(CHECKOUT / "gateway.toml"))
        config = read_config(Path(path), environment)
        return {"gateway": config.listen, "gateway_admin": config.admin}
    host = LOOPBACK if name in ENGINES else environment.text(f"{name.upper()}_BIND_HOST", LOOPBACK)
    port = port_of(name, environment.port_base)
    rpc = {f"{name}'s gRPC": Address(host, port + RPC_STEP)} if rpc_callers(name) else {}
    if name == "kafka":
        return {
            "kafka's controller": Address(host, port_of("kafka_controller", environment.port_base)),
            name: Address(host, port),
        }
    return {**rpc, name: Address(host, port)}
