"""Where a conversation takes place: a system, and a second WebSocket gateway, to be ended and started."""

import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess

from scripts.support.load.patient_client import PatientClient
from shared.config import LOOPBACK
from shared.ports import port_of
from tests.e2e.client import Client
from tests.e2e.people import Person
from tests.e2e.replicas import start_process
from tests.e2e.system import LEAVE_SECONDS, START_SECONDS, System
from tests.waiting import until

CLIENTS, PATIENCE_SECONDS = 20, 60.0
# A queue that is soon full, and no long way back for whoever is sent away.
QUEUE_BYTES = 524_288  # twice the longest past that the tests ask for, and soon full
SETTINGS = {"WS_QUEUE_BYTES": str(QUEUE_BYTES), "WS_RECONNECT_SPREAD_SECONDS": "0.5"}


class SecondGateway:
    """`ws_gateway.2`, which nobody else looks after."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._operator = Client(f"http://{LOOPBACK}:{port_of('ws_gateway_admin', system.port_base, 2)}")
        self._process: BaseProcess = self._started()

    def start(self) -> None:
        """Anew; it is on its way when this returns."""
        self._process = self._started()

    def wait_until_ready(self) -> None:
        """It takes connections then."""
        until(self._is_ready, START_SECONDS, "the second gateway is ready", self._system.log)

    def end(self, number: signal.Signals) -> int | None:
        """By SIGTERM or SIGKILL; its exit status."""
        if number is signal.SIGKILL:
            self._process.kill()
        else:
            self._process.terminate()
        self._process.join(LEAVE_SECONDS)
        return self._process.exitcode

    def queue_bytes(self) -> int:
        """What its sockets have been sent and not taken."""
        found = re.search(rb"^ws_queue_bytes (.+)$", self._operator.get("/metrics").body, re.MULTILINE)
        assert found is not None
        return int(float(found[1]))

    def _started(self) -> BaseProcess:
        return start_process(self._system, "ws_gateway.2", SETTINGS)

    def _is_ready(self) -> bool:
        try:
            return self._operator.get("/readyz").status == 200
        except OSError:
            return False


@dataclass(frozen=True)
class Stage:
    """What everybody who takes part needs. `first` and `second` are the URLs of the WebSocket gateways."""

    system: System
    second_gateway: SecondGateway
    client: PatientClient
    first: str
    second: str

    async def people(self, *names: str) -> list[Person]:
        """With new accounts of those names."""
        return [await Person.new(self.client, name) for name in names]


@asynccontextmanager
async def staged(system: System, second_gateway: SecondGateway) -> AsyncIterator[Stage]:
    """For as long as the event loop runs that the client belongs to."""
    client = PatientClient(system.url(), CLIENTS, PATIENCE_SECONDS)
    ports = [port_of("ws_gateway", system.port_base, number) for number in (1, 2)]
    try:
        yield Stage(system, second_gateway, client, *(f"ws://{LOOPBACK}:{port}/ws" for port in ports))
    finally:
        await client.close()
