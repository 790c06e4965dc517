"""More than one process of a service: beside those of the Procfile, which `./scripts/up` starts once each.

The second process listens 100 ports higher (shared/ports.py). Its callers know of it if they are told; for
sagas and events nobody need know of it: whatever is due it finds in its database.
"""

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from scripts.support.spawning import spawn
from shared.config import CHECKOUT, LOOPBACK, Environment
from shared.ports import port_of
from tests.e2e.system import System


def start_process(system: System, name: str) -> subprocess.Popen[bytes]:
    """The service process `name`, `order.2` for example, which ends with us. Its output goes to the log."""
    command = [sys.executable, "-m", f"services.{name.partition('.')[0]}.main"]
    environment = {**system.variables, "HONCHO_PROCESS_NAME": name}
    with system.log_path.open("ab") as log:
        return spawn(command, death_signal=signal.SIGTERM, environment=environment, output=log)


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
            each.wait()


def keep_replicas(procfile: Path, service: str, processes: int) -> None:
    """Lines for all `processes` of `service` but the first; scripts/keep looks after them, too."""
    command = f"scripts/keep --after postgres python -m services.{service}.main"
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
