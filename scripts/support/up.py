"""The launcher behind `./scripts/up`: checks, prepares, runs the Procfile with honcho, says when it is ready.

Everything that can stand in the way is looked for before anything is started, so that it is one line and
nothing is left running. honcho is our child: it hears of our death, and we clear up after its own.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from honcho.environ import parse_procfile  # type: ignore[import-untyped]

from scripts.support.failures import BAD_SETTING, SetupError, exit_status
from scripts.support.free_ports import is_free
from scripts.support.kafka import make_ready as make_kafka_ready
from scripts.support.locks import held
from scripts.support.parts import Part, embedded_kafka_url, reachable, runs_here
from scripts.support.postgres_data import PostgresData
from scripts.support.procfile_parts import parts_of
from scripts.support.readiness import Obstacle, why_not_ready
from scripts.support.records import Identity, Records, end
from scripts.support.refusals import Refusals
from scripts.support.secret_files import make_secrets, secret_keys
from scripts.support.settings import read_settings
from scripts.support.signal_queue import SignalQueue, stop_among
from scripts.support.spawning import spawn
from shared.config import CHECKOUT, ConfigError, Environment
from shared.ports import OFFSETS

READY_SECONDS = 60.0
POLL_SECONDS = 0.1
STOP_SECONDS = 4.6  # everything has to be gone after 5
LEFTOVER_SECONDS = 4.0
KEEPER_POLL_SECONDS = 1.0
UNNOTICED_SECONDS = 5.0  # a honcho that has noticed a keeper's end has stopped everything by then
ROOM_BYTES = 100_000_000  # a new PostgreSQL takes 40 MB, its write-ahead log grows by 16 MB at a time


class Launcher:
    """One run of one system."""

    def __init__(self, environment: Environment, procfile: Path, ready_seconds: float) -> None:
        self._environment = environment
        self._home = environment.home.absolute()
        self._procfile = procfile
        self._ready_seconds = ready_seconds
        self._records = Records(self._home)
        self._refusals = Refusals(self._home)
        names = parse_procfile(procfile.read_text()).processes
        self._parts = parts_of([name for name in names if runs_here(name, environment)], environment)
        self._signals = SignalQueue(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)

    def run(self) -> int:
        """0 when told to stop. SetupError when the system cannot start or falls over."""
        with self._home_named():
            self._make_home()
            with held(self._home / "up.lock", f"a system is already running on {self._home}"):
                self._end_leftovers()
                try:
                    return self._start()
                finally:
                    self._end(self._records.alive(), 0.0)
                    self._forget()

    def _start(self) -> int:
        self._prepare()
        self._check_ports()
        return 0 if stop_among(self._signals.wait(0)) else self._run_honcho()

    # Before anything runs

    @contextmanager
    def _home_named(self) -> Iterator[None]:
        """A folder that cannot be used is reported with the setting that names it."""
        try:
            yield
        except OSError as failure:
            path = Path(failure.filename or "")
            if self._home in (path, *path.parents) or path in self._home.parents:
                raise SetupError(f"PLAINSTACK_HOME: {path}: {failure.strerror}") from failure
            raise

    def _make_home(self) -> None:
        self._records.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        free = shutil.disk_usage(self._home).free
        if free < ROOM_BYTES:
            raise SetupError(
                f"the disk is full: {free // 1_000_000} MB are left in {self._home}, "
                f"{ROOM_BYTES // 1_000_000} MB are needed (PLAINSTACK_HOME names another folder)"
            )

    def _end_leftovers(self) -> None:
        """What a killed launcher or honcho left. A living honcho that was started by hand is no leftover."""
        alive = self._records.alive()
        honcho = alive.get("honcho")
        # That of an earlier `up` may have died between the two looks.
        if honcho is not None and honcho != alive.get("up.honcho") and honcho.is_alive():
            raise SetupError(
                f"honcho (process {honcho.pid}) already runs a system on {self._home}; stop it first"
            )
        if alive:
            _say(f"ending {len(alive)} processes that an earlier run left behind")
            self._end(alive, LEFTOVER_SECONDS)
        self._forget()
        self._records.write("up", os.getpid())

    def _prepare(self) -> None:
        if made := make_secrets(self._home, secret_keys()):
            _say(f"made {len(made)} secrets in {made[0].parent}")
        if any(part.name == "postgres" for part in self._parts):
            if not (self._home / "postgres").exists():
                _say("making the PostgreSQL data folder")
            PostgresData(self._environment).prepare()

    def _check_ports(self) -> None:
        for part in self._parts:
            for name, (host, port) in part.addresses.items():
                if not is_free(port, host):
                    raise SetupError(
                        f"port {port} on {host}, where {name} is to listen, is taken by another process: "
                        "stop that, or set PORT_BASE to move all ports"
                    )

    # While it runs

    def _run_honcho(self) -> int:
        honcho = self._start_honcho()
        try:
            if not self._becomes_ready(honcho):
                return 0
            _say(f"ready: {_addresses(self._parts)}. Ctrl-C stops everything.")
            if self._watch(honcho):
                return 0
            self._end(self._records.alive(), LEFTOVER_SECONDS)
            raise SetupError(f"honcho ended with status {honcho.returncode}; everything is stopped")
        finally:
            self._stop(honcho)

    def _watch(self, honcho: subprocess.Popen[bytes]) -> bool:
        """True when told to stop, False when honcho has ended.

        honcho starts each keeper through a helper of its own. When that one is killed the keeper leaves, but
        honcho never hears of it, and a service would be missing without a word: SetupError.
        """
        deadline = time.monotonic() + UNNOTICED_SECONDS
        while honcho.poll() is None:
            if stop_among(self._signals.wait(KEEPER_POLL_SECONDS)):
                return True
            gone = self._records.gone("*.keep")
            if not gone:
                deadline = time.monotonic() + UNNOTICED_SECONDS
            elif time.monotonic() > deadline:
                raise SetupError(f"{', '.join(gone)} has gone and honcho has not noticed; all is stopped")
        return False

    def _start_honcho(self) -> subprocess.Popen[bytes]:
        """honcho would let .env override the environment; we have merged them the other way round."""
        _say(f"starting what {self._procfile.name} names: {', '.join(part.name for part in self._parts)}")
        command = [sys.executable, "-u", "-m", "honcho", "start", "-e", os.devnull, "-f", str(self._procfile)]
        honcho = spawn(
            command, death_signal=signal.SIGTERM, environment=self._environment.values, own_group=True
        )
        self._records.write("up.honcho", honcho.pid)
        return honcho

    def _becomes_ready(self, honcho: subprocess.Popen[bytes]) -> bool:
        """True when all parts are ready, False when told to stop.

        SetupError when it takes too long, and at once when waiting will not help.
        """
        deadline = time.monotonic() + self._ready_seconds
        waiting = self._parts
        while obstacles := _obstacles(waiting):
            if stop_among(self._signals.wait(POLL_SECONDS)):
                return False
            self._give_up_if_hopeless(honcho, obstacles)
            if time.monotonic() > deadline:
                name, obstacle = next(iter(obstacles.items()))
                raise SetupError(f"{name} is not ready after {self._ready_seconds:g} s: {obstacle}")
            waiting = [part for part in waiting if part.name in obstacles]
        return True

    def _give_up_if_hopeless(
        self, honcho: subprocess.Popen[bytes], obstacles: Mapping[str, Obstacle]
    ) -> None:
        """SetupError when no waiting helps: with a refused setting, or what a process says will last."""
        if refusal := self._refusals.first():
            raise SetupError(refusal, BAD_SETTING)
        for name, obstacle in obstacles.items():
            if obstacle.lasts:
                raise SetupError(f"{name}: {obstacle}")
        if honcho.poll() is not None:
            raise SetupError(f"honcho ended with status {honcho.returncode} before all was ready")

    # At the end

    def _stop(self, honcho: subprocess.Popen[bytes]) -> None:
        _say("stopping")
        if honcho.poll() is None:
            honcho.terminate()
        try:
            honcho.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            _say("some processes do not stop and are killed")
            honcho.kill()
            honcho.wait()

    def _end(self, processes: Mapping[str, Identity], seconds: float) -> None:
        ours = os.getpid()
        end([process for process in processes.values() if process.pid != ours], signal.SIGTERM, seconds)

    def _forget(self) -> None:
        for path in self._records.folder.glob("[!.]*"):
            path.unlink(missing_ok=True)
        self._refusals.forget()


def _obstacles(parts: Iterable[Part]) -> dict[str, Obstacle]:
    """What stands in the way, by name, of those of `parts` that are not ready."""
    return {part.name: obstacle for part in parts if (obstacle := why_not_ready(part)) is not None}


def _addresses(parts: list[Part]) -> str:
    """What clients need first."""
    return ", ".join(
        map(_address, sorted(parts, key=lambda part: (part.is_engine, "gateway" not in part.name)))
    )


def _address(part: Part) -> str:
    scheme = "" if part.is_engine else "http://"
    places = {name: reachable(part.addresses[name]) for name in part.addresses if name in OFFSETS}
    return ", ".join(f"{name} {scheme}{place.host}:{place.port}" for name, place in places.items())


def _say(line: str) -> None:
    print(f"up: {line}", flush=True)


def with_kafka(environment: Environment) -> Environment:
    """`environment` with the embedded Kafka for events. ConfigError when EVENTS_URL names something else."""
    url = embedded_kafka_url(environment)
    if environment.values.get("EVENTS_URL", "").strip() not in ("", url):
        raise ConfigError("EVENTS_URL", f"contradicts --kafka, which makes it {url}: leave one of them out")
    return Environment({**environment.values, "EVENTS_URL": url})


def _main() -> int:
    parser = argparse.ArgumentParser(prog="./scripts/up")
    parser.add_argument("--wait", type=float, default=READY_SECONDS, metavar="SECONDS")
    parser.add_argument("--kafka", action="store_true")
    arguments = parser.parse_args()
    settings = read_settings()
    environment = with_kafka(settings) if arguments.kafka else settings
    if runs_here("kafka", environment):
        make_kafka_ready()  # may take a minute, which a signal ends as long as nobody listens for them
    procfile = CHECKOUT / environment.text("PROCFILE", "Procfile")
    return Launcher(environment, procfile, arguments.wait).run()


if __name__ == "__main__":
    sys.exit(exit_status("up", _main))
