"""The embedded PostgreSQL: `python -m scripts.support.postgres`.

The server comes out of a wheel, listens on 127.0.0.1 at PORT_BASE+90 and keeps its data in
PLAINSTACK_HOME/postgres. It is there for development; DATABASE_URL_<SERVICE> puts a server of your own in its
place, service by service.
"""

import os
import signal
import subprocess
import sys
from typing import IO

import psycopg

from scripts.support.engine import idle, serve
from scripts.support.failures import exit_status
from scripts.support.parts import runs_here
from scripts.support.postgres_data import SUPERUSER, PostgresData
from scripts.support.roles import create_service_databases
from scripts.support.secret_files import make_secrets
from scripts.support.service_names import embedded_services
from scripts.support.spawning import spawn
from shared.config import LOOPBACK, Environment, Secret
from shared.ports import port_of

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
        make_secrets(self.home, keys.values())
        self._passwords = {service: environment.secret(key) for service, key in keys.items()}
        self._data = PostgresData(environment)

    def start(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start the server on its data, which is made if missing."""
        self._data.prepare()
        settings = {"listen_addresses": LOOPBACK, "port": str(self.port), "unix_socket_directories": ""}
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        return spawn(
            [str(self._data.programs / "postgres"), "-D", str(self._data.folder), *options],
            death_signal=self.stop_signal,
            output=log,
            prepare=self._data.disguise.prepare,
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
            password=self._data.superuser.value,
            dbname="postgres",
            connect_timeout=CONNECT_SECONDS,
            autocommit=True,
        )


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
