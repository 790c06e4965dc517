"""More than one process of a service: beside those of the Procfile, which `./scripts/up` starts once each.

The second process listens 100 ports higher (shared/ports.py). Its callers know of it if they are told; for
sagas and events nobody need know of it: whatever is due it finds in its database.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path

from shared.config import CHECKOUT, LOOPBACK, Environment
from shared.ports import port_of
from tests.e2e.system import System
from tests.scripts.forked import start_module

FRONTS = ("ws_gateway",)  # whose module is a file of the checkout itself


def module_of(service: str) -> str:
    """What `python -m` is told."""
    return service if service in FRONTS else f"services.{service}.main"


def start_process(system: System, name: str, settings: Mapping[str, str] | None = None) -> BaseProcess:
    """The process `name`, `order.2` for example, which ends with us. Its output goes to the log."""
    variables = {**system.variables, "HONCHO_PROCESS_NAME": name, **(settings or {})}
    return start_module(module_of(name.partition(".")[0]), variables, system.log_path)


@contextmanager
def replicas(system: System, services: Sequence[str]) -> Iterator[None]:
    """A second process of each of `services`, which nobody starts again."""
    started = [start_process(system, f"{service}.2") for service in services]
    try:
        yield
    finally:
        for each in started:
            each.terminate()
        for each in started:
            each.join()


def keep_replicas(procfile: Path, service: str, processes: int) -> None:
    """Lines for all `processes` of `service` but the first; scripts/keep looks after them, too."""
    command = f"scripts/keep --after postgres,valkey python -m {module_of(service)}"
    with procfile.open("a") as lines:
        for number in range(2, processes + 1):
            name = f"{service}.{number}"
            lines.write(f"{service}_{number}: exec env HONCHO_PROCESS_NAME={name} {command}\n")


def share_requests(system: System, service: str, processes: int) -> None:
    """The gateway knows all `processes` of `service`. The system must not run yet."""
    first = f'"${{{service.upper()}_URL}}"'
    ports = (port_of(service, system.port_base, number) for number in range(2, processes + 1))
    targets = ", ".join([first, *(f'"http://{LOOPBACK}:{port}"' for port in ports)])
    config = system.home.with_name("gateway.toml")
    config.write_text((CHECKOUT / "gateway.toml").read_text().replace(first, targets))
    system.variables["GATEWAY_CONFIG"] = str(config)
    system.environment = Environment(system.variables)
