"""The embedded Apache Kafka: `python -m scripts.support.kafka`, and by hand `./scripts/kafka up`.

One process, broker and controller in one (KRaft), for development. It listens on 127.0.0.1 at PORT_BASE+92,
its controller at +93, and keeps its data in PLAINSTACK_HOME/kafka. Events go through Valkey, and this one has
nothing to do, unless EVENTS_URL is its address.

An acknowledged record is with the kernel, which writes it to the disk later: it outlives a broker that is
killed, but not a power cut. Kafka is made so; its answer to power cuts is copies on other machines.
"""

import argparse
import base64
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import IO

from scripts.support.engine import POLL_SECONDS, START_SECONDS, idle, open_log, serve
from scripts.support.failures import SetupError, exit_status
from scripts.support.free_ports import free_port_base, is_free
from scripts.support.kafka_jars import CACHE, VERSION, fetch_jars
from scripts.support.kafka_jvm import Flags, java_command, make_class_data
from scripts.support.parts import embedded_kafka_url, runs_here
from scripts.support.settings import read_settings
from scripts.support.spawning import spawn
from shared.config import LOOPBACK, Environment
from shared.ports import port_of

ANSWER_SECONDS = 2.0
ESTABLISHED = "01"  # as proc(5) writes the states of TCP

# The request ApiVersions, version 0, number 1, from a client without a name. Its answer repeats the number
# and goes on with an error code, 0 for none (the Kafka protocol guide).
API_VERSIONS = struct.pack(">ihhih", 10, 18, 0, 1, -1)
NO_ERROR = struct.pack(">ih", 1, 0)

# Relative to PLAINSTACK_HOME, where the JVM starts: in its settings a path with a comma would be two paths.
DATA, SETTINGS = "kafka", "kafka.properties"


class Kafka:
    """Kafka as an `Engine`, with the program in the folder `jars`."""

    name = "kafka"
    stop_signal = signal.SIGTERM

    def __init__(self, environment: Environment, jars: Path, flags: Flags = ()) -> None:
        """`flags` are for the JVM, in place of those that make it start quickly."""
        self.home = environment.home.absolute()
        self.port = port_of("kafka", environment.port_base)
        self._controller_port = port_of("kafka_controller", environment.port_base)
        self._jars = jars
        self._flags = flags

    def start(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start the server on its data, which is made if missing. SetupError when a port is taken."""
        for port in (self.port, self._controller_port):
            if not is_free(port):
                raise SetupError(f"port {port} is taken by another process: stop that, or set PORT_BASE")
        if not (self.home / DATA).exists():
            self._format(log)
        self._write_settings(DATA)
        return self._spawn(["kafka.Kafka", SETTINGS], log, self._flags)

    def is_answering(self) -> bool:
        """Whether it speaks Kafka's protocol now. It listens only when its controller has let it join."""
        try:
            with socket.create_connection((LOOPBACK, self.port), ANSWER_SECONDS) as connection:
                connection.sendall(API_VERSIONS)
                with connection.makefile("rb") as answers:
                    (size,) = struct.unpack(">i", answers.read(4))
                    return answers.read(size).startswith(NO_ERROR)
        except (OSError, struct.error):
            return False

    def configure(self) -> None:
        """Nothing: its settings came with the start."""

    def count_clients(self) -> int:
        """How many connections others have to it; 0 where the system has no /proc to read it from."""
        try:
            rows = Path("/proc/net/tcp").read_text().splitlines()[1:]
        except OSError:
            return 0
        return count_connections(rows, self.port)

    def _format(self, log: IO[bytes]) -> None:
        """The data folder gets its name when it is complete, so a killed format leaves nothing half made."""
        draft = self.home / f"{DATA}.draft"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700, parents=True)
        self._write_settings(draft.name)
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        options = ["--standalone", f"--cluster-id={cluster}", "--config", SETTINGS]
        status = self._spawn(["kafka.tools.StorageTool", "format", *options], log).wait()
        if status != 0:
            raise SetupError(f"making the data folder failed; see {log.name}")
        draft.replace(self.home / DATA)

    def _write_settings(self, data: str) -> None:
        (self.home / SETTINGS).write_text(settings(data, self.port, self._controller_port))

    def _spawn(self, words: list[str], log: IO[bytes], flags: Flags = ()) -> subprocess.Popen[bytes]:
        return spawn(
            java_command(self._jars, *words, flags=flags),
            death_signal=self.stop_signal,
            output=log,
            prepare=lambda: os.chdir(self.home),
            own_group=True,
        )


def settings(data: str, port: int, controller_port: int) -> str:
    """The text of its configuration file, with its data in the folder `data`."""
    values = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.bootstrap.servers": f"{LOOPBACK}:{controller_port}",
        "listeners": f"PLAINTEXT://{LOOPBACK}:{port},CONTROLLER://{LOOPBACK}:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": data,
        "auto.create.topics.enable": "false",  # a misspelt topic is an error
        # One node: no replicas, and few partitions of its own topics, as each is files to make and to open.
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "share.coordinator.state.topic.num.partitions": 1,
        "group.initial.rebalance.delay.ms": 0,  # no crowd of consumers to wait for
        # A killed broker's successor is let in when its session has ended: by default after 9 s.
        "broker.heartbeat.interval.ms": 500,
        "broker.session.timeout.ms": 2000,
        "num.network.threads": 1,
        "num.io.threads": 2,
        "log.cleaner.dedupe.buffer.size": 8 * 1024 * 1024,  # by default half of our heap
    }
    return "".join(f"{key}={value}\n" for key, value in values.items())


def count_connections(rows: list[str], port: int) -> int:
    """How many of the `rows` of /proc/net/tcp are connections that `port` of this machine has accepted."""
    fields = (row.split() for row in rows)
    return sum(local.endswith(f":{port:04X}") and state == ESTABLISHED for _, local, _, state, *_ in fields)


def make_ready() -> Path:
    """Fetch what is missing and prepare quick starts; the program's folder. SetupError when impossible."""
    try:
        jars = fetch_jars()
        make_class_data(jars, lambda flags: _rehearse(jars, flags))
    except KeyboardInterrupt:
        raise SetupError("interrupted", 130) from None
    return jars


def _rehearse(jars: Path, flags: Flags) -> None:
    """Start a broker on data of its own and stop it. It need not succeed: starts are only slower then."""
    temporary = tempfile.TemporaryDirectory(prefix="rehearsal-", dir=CACHE)
    with temporary as home, open_log(CACHE, "rehearsal") as log:
        place = Environment({"PLAINSTACK_HOME": home, "PORT_BASE": str(free_port_base())})
        engine = Kafka(place, jars, flags)
        server = engine.start(log)
        deadline = time.monotonic() + START_SECONDS
        while server.poll() is None and not engine.is_answering() and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        server.terminate()
        server.wait()  # it writes the class data now


def _main() -> int:
    parser = argparse.ArgumentParser(
        prog="./scripts/kafka",
        description="An Apache Kafka of your own, for development: one node, on loopback, without passwords.",
        epilog="Services use it when EVENTS_URL is kafka://127.0.0.1:8092 (PORT_BASE+92), as in a system "
        "started with ./scripts/up --kafka. It needs Java 17 or newer, and Maven for the first time.",
    )
    parser.add_argument(
        "command",
        nargs="?",
        choices=("up", "fetch"),
        help=f"up: run it in the foreground; fetch: only see to it that Kafka {VERSION} is there",
    )
    command = parser.parse_args().command
    if command == "fetch":
        make_ready()
        return 0
    environment = read_settings()
    if command is None and not runs_here("kafka", environment):
        return idle("kafka", f"EVENTS_URL is not {embedded_kafka_url(environment)}")
    return serve(Kafka(environment, make_ready()))


if __name__ == "__main__":
    sys.exit(exit_status("kafka", _main))
