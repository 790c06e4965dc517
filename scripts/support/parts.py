"""The processes of one system that listen somewhere: where each does, and where it says that it is ready.

Where the gateway listens says a file of its own: procfile_parts.py.
"""

from dataclasses import dataclass

from scripts.support.records import Records
from scripts.support.service_names import embedded_services
from shared.callers import rpc_callers
from shared.config import LOOPBACK, Address, Environment
from shared.ports import RPC_STEP, port_of

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


def part_of(name: str, environment: Environment) -> Part:
    """The process that is called `name` in shared.ports; any but the gateway."""
    return Part(name, _addresses(name, environment), Records(environment.home))


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
    if name == "ws_gateway":
        host = environment.text("BIND_HOST", LOOPBACK)
        return {
            "ws_gateway": Address(host, environment.port("ws_gateway")),
            "ws_gateway_admin": Address(LOOPBACK, environment.port("ws_gateway_admin")),
        }
    host = LOOPBACK if name in ENGINES else environment.text(f"{name.upper()}_BIND_HOST", LOOPBACK)
    port = port_of(name, environment.port_base)
    rpc = {f"{name}'s gRPC": Address(host, port + RPC_STEP)} if rpc_callers(name) else {}
    if name == "kafka":
        return {
            "kafka's controller": Address(host, port_of("kafka_controller", environment.port_base)),
            name: Address(host, port),
        }
    return {**rpc, name: Address(host, port)}
