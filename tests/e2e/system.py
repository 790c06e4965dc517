"""A whole system, started with `./scripts/up` on ports and data of its own, to be looked at and to be broken.

Its processes go by the names that PLAINSTACK_HOME/run records: `up`, `honcho`, `gateway.1` with its keeper
`gateway.1.keep` (likewise every process of the Procfile), `postgres-server`, `valkey-server`.
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Mapping
from pathlib import Path

import psycopg

from scripts.support.free_ports import free_port_base
from scripts.support.parts import Part, runs_here
from scripts.support.postgres import superuser_url
from scripts.support.procfile_parts import parts_of
from scripts.support.readiness import why_not_ready
from scripts.support.records import Identity, Records, end
from scripts.support.run_tests import isolated_environment
from scripts.support.spawning import spawn
from shared.config import CHECKOUT, LOOPBACK, Environment
from shared.ports import port_of
from tests.e2e.client import Client
from tests.scripts.forked import run_module
from tests.waiting import until

START_SECONDS = 70.0  # the launcher itself gives up after 60
STOP_SECONDS = 5.0  # what is promised
LEAVE_SECONDS = 30.0  # waited for where the promise is not the subject: a busy machine is no fault
Finished = subprocess.CompletedProcess[str]
SMALLEST = ("postgres", "valkey")
CORE = (*SMALLEST, "auth", "product", "gateway")  # enough for most tests, and up sooner
CHEAP_PASSWORDS = {"BCRYPT_COST": "4"}  # what a hash costs is no subject of whole systems
PYTHON = {"PYTHON": sys.executable}  # which every `./scripts/up` would otherwise look for
UP, READY = "./scripts/up", "up: ready: "
ADMIN_EMAIL, ADMIN_PASSWORD = "admin@example.com", "correct horse battery staple"


def procfile_of(processes: Collection[str], folder: Path, checkout: Path = CHECKOUT) -> dict[str, str]:
    """The setting that makes a system of `processes` alone, written into `folder`."""
    lines = (checkout / "Procfile").read_text().splitlines(keepends=True)
    path = folder / "Procfile"
    path.write_text("".join(line for line in lines if line.partition(":")[0] in processes))
    return {"PROCFILE": str(path)}


class System:
    """One system. Start it, use it, kill parts of it, stop it."""

    def __init__(
        self,
        home: Path,
        settings: Mapping[str, str] | None = None,
        checkout: Path = CHECKOUT,
        *,
        made: Path | None = None,
    ) -> None:
        """`made` is a home that has been made already: a copy of it is what the system begins with."""
        if made is not None:
            shutil.copytree(made, home)
        self.home = home
        self._checkout = checkout
        self._settings = {"ADMIN_EMAIL": ADMIN_EMAIL, "ADMIN_PASSWORD": ADMIN_PASSWORD, **(settings or {})}
        self.take_free_ports()
        self.records = Records(home)
        self.log_path = home.with_name(f"{home.name}.log")
        self._launcher: subprocess.Popen[bytes] | None = None
        self._row = 0

    def take_free_ports(self) -> None:
        """For a start after a while: to others, the ports of a system that is not running are free."""
        self.port_base = free_port_base()
        isolated = isolated_environment(os.environ, self.home, self.port_base)
        self.variables = {**isolated, **PYTHON, **self._settings}
        self.environment = Environment(self.variables)

    # Starting and stopping

    def start(self, *options: str) -> float:
        """Run `./scripts/up` with `options` and wait for its ready line; the seconds it took."""
        started, already = time.monotonic(), self.log().count(READY)
        launcher = self.launch(UP, *options)
        until(
            lambda: self.log().count(READY) > already or launcher.poll() is not None,
            START_SECONDS,
            "the ready line",
            self.log,
        )
        assert launcher.poll() is None, self.log()
        return time.monotonic() - started

    def start_unless_it_runs(self) -> "System":
        """As the last test has left it, or else started; itself."""
        if "up" not in self.records.alive():
            self.take_free_ports()
            self.start()
        return self

    def launch(self, *command: str) -> subprocess.Popen[bytes]:
        """Start `command` in the checkout with this system's settings; its output goes to the log.

        A launcher that was killed, or is about to fall over because of a kill, is waited for before.
        """
        if self._launcher is not None:
            self._launcher.wait(LEAVE_SECONDS)
        with self.log_path.open("ab") as log:
            self._launcher = spawn(
                list(command),
                death_signal=signal.SIGTERM,  # however the tests end, no system outlives them
                environment=self.variables,
                output=log,
                prepare=lambda: os.chdir(self._checkout),
            )
        return self._launcher

    def run(self, *command: str, without: Collection[str] = (), **settings: str) -> Finished:
        """Run `command` in the checkout to its end, with this system's settings but for some."""
        variables = {key: value for key, value in self.variables.items() if key not in without}
        return subprocess.run(
            command,
            cwd=self._checkout,
            env={**variables, **settings},
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
        )

    def command(self, name: str, *arguments: str, **settings: str) -> Finished:
        """As `run("./scripts/name", *arguments, **settings)`, but forked, which takes a tenth of the time."""
        return run_module(f"scripts.support.{name}", arguments, {**self.variables, **settings})

    def stop(self, number: signal.Signals = signal.SIGTERM, seconds: float = LEAVE_SECONDS) -> int:
        """Send `number` to the launcher and wait for it, `seconds` at most; its exit status."""
        assert self._launcher is not None
        self._launcher.send_signal(number)
        try:
            return self._launcher.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"not stopped after {seconds:g} s:\n{self.log()}") from None

    def close(self) -> None:
        """End whatever is left, however the test went."""
        if self._launcher is not None and self._launcher.poll() is None:
            self._launcher.terminate()
            self._launcher.wait(LEAVE_SECONDS)
        end(self.records.alive().values(), signal.SIGTERM, STOP_SECONDS)

    # Its processes

    def process(self, name: str) -> Identity:
        """The living process called `name`."""
        found = self.records.read(name)
        assert found is not None, f"{name} is not alive"
        return found

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> Identity:
        """Send `number` to `name`; the process as it was."""
        found = self.process(name)
        os.kill(found.pid, number)
        if self._launcher is not None and self._launcher.pid == found.pid:
            self._launcher.wait()
        return found

    def wait_for_successor(self, name: str, former: Identity, seconds: float) -> float:
        """Wait until another process is `name`; the seconds it took."""
        started = time.monotonic()
        until(lambda: self.records.read(name) not in (None, former), seconds, f"a new {name}", self.log)
        return time.monotonic() - started

    def wait_until_ready(self, seconds: float = START_SECONDS) -> None:
        """Wait until every part answers /readyz."""
        until(lambda: not any(map(why_not_ready, self.parts())), seconds, "all is ready", self.log)

    def parts(self) -> list[Part]:
        """What the Procfile names, without idle engines."""
        lines = (self._checkout / self.variables.get("PROCFILE", "Procfile")).read_text().splitlines()
        names = [line.partition(":")[0] for line in lines if ":" in line]
        return parts_of([name for name in names if runs_here(name, self.environment)], self.environment)

    # Ways in

    def url(self, name: str = "gateway") -> str:
        """Where `name` (shared.ports) listens."""
        return f"http://{LOOPBACK}:{port_of(name, self.port_base)}"

    def client(self, name: str = "gateway") -> Client:
        """A client of `name`."""
        return Client(self.url(name))

    def superuser(self) -> psycopg.Connection:
        """A connection to the embedded PostgreSQL as its superuser, in autocommit mode."""
        return psycopg.connect(superuser_url(self.environment).value, autocommit=True)

    def log(self) -> str:
        """Everything that all runs of this system have printed."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    # What lasts

    def put_row(self) -> None:
        """Into its PostgreSQL."""
        self._row = secrets.randbits(31)
        with self.superuser() as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS kept (value integer)")
            connection.execute("INSERT INTO kept VALUES (%s)", [self._row])

    def has_row(self) -> bool:
        """Whether that is still there."""
        with self.superuser() as connection:
            found = connection.execute("SELECT FROM kept WHERE value = %s", [self._row])
            return found.rowcount == 1
