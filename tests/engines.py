"""A real PostgreSQL and a real Valkey for one test session; fixture `engines` in conftest.py.

Usage: `url = engines.new_database()` gives a fresh, empty database with a role of its own;
`engines.redis_url` is the store (`flush_store()` empties it).
"""

import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import redis
from psycopg import sql

from scripts.support.free_ports import free_port_base
from scripts.support.postgres import superuser_url
from scripts.support.roles import create_service_databases
from scripts.support.run_tests import isolated_environment
from scripts.support.scram import scram_verifier
from scripts.support.spawning import spawn
from shared.config import Environment, Secret
from shared.ports import port_of

START_SECONDS = 60.0
POLL_SECONDS = 0.05


class Engines:
    """Both engines on ports and data of their own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.settings = {"PLAINSTACK_HOME": str(home), "PORT_BASE": str(free_port_base())}
        self.environment = Environment(self.settings)
        self._children: list[subprocess.Popen[bytes]] = []
        self._connections: dict[str, psycopg.Connection] = {}

    @property
    def superuser_url(self) -> Secret:
        """The PostgreSQL superuser's way in."""
        return superuser_url(self.environment)

    @property
    def redis_url(self) -> Secret:
        """The store."""
        return self.environment.redis_url()

    def new_database(self) -> Secret:
        """The URL of a fresh, empty database that its own role alone may enter."""
        name, password = f"test_{secrets.token_hex(6)}", Secret(secrets.token_hex(16))
        create_service_databases(self.superuser(), {name: password})
        self._accept_quickly(name, password)
        port = port_of("postgres", self.environment.port_base)
        return Secret(f"postgresql://{name}:{password.value}@127.0.0.1:{port}/{name}")

    def superuser(self, database: str = "postgres") -> psycopg.Connection:
        """A connection to `database` that is kept for the next time: to connect takes ten times as long as
        most of what is asked then. In autocommit mode.
        """
        kept = self._connections.get(database)
        if kept is None or kept.closed:
            url = self.superuser_url.value
            kept = self._connections[database] = psycopg.connect(url, dbname=database, autocommit=True)
        return kept

    def flush_store(self) -> None:
        """Empty the store."""
        with redis.Redis.from_url(self.redis_url.value) as client:
            client.flushall()

    def start(self) -> None:
        """Returns when both answer."""
        for module in ("scripts.support.postgres", "scripts.support.valkey"):
            with (self.home / "engines.log").open("ab") as log:
                command = [sys.executable, "-m", module]
                environment = isolated_environment(os.environ, self.home, self.environment.port_base)
                child = spawn(command, death_signal=signal.SIGTERM, environment=environment, output=log)
                self._children.append(child)
        deadline = time.monotonic() + START_SECONDS
        while not self._log_says("postgres: serves") or not self._log_says("valkey: serves"):
            assert all(child.poll() is None for child in self._children), self._log()
            assert time.monotonic() < deadline, self._log()
            time.sleep(POLL_SECONDS)
        self._do_not_wait_for_the_disk()

    def stop(self) -> None:
        """Returns when both have left."""
        for connection in self._connections.values():
            connection.close()
        for child in self._children:
            child.terminate()
        for child in self._children:
            child.wait()

    def _do_not_wait_for_the_disk(self) -> None:
        """These data need not outlive the machine, and its disk may be busy for seconds."""
        self.superuser().execute("ALTER SYSTEM SET fsync = off")
        self.superuser().execute("SELECT pg_reload_conf()")

    def _accept_quickly(self, role: str, password: Secret) -> None:
        """Most of what a client does as it connects is hashing its password, as often as PostgreSQL asks."""
        statement = sql.SQL("ALTER ROLE {} PASSWORD {}")
        verifier = scram_verifier(password, iterations=1)
        self.superuser().execute(statement.format(sql.Identifier(role), sql.Literal(verifier)))

    def _log(self) -> str:
        return (self.home / "engines.log").read_text()

    def _log_says(self, text: str) -> bool:
        return text in self._log()
