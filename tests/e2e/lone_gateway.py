"""`gateway.py --config FILE` as a process of its own: no store, no auth server, no secrets."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared.config import CHECKOUT
from tests.e2e.client import Client
from tests.waiting import until

START_SECONDS = 20.0


class LoneGateway:
    """Started on free ports; its file has `routes`, to an upstream `any` at the address `upstream`.

    `descriptors` is how many it may have open at most.
    """

    def __init__(
        self,
        folder: Path,
        routes: str,
        upstream: str,
        *,
        settings: Mapping[str, str] | None = None,
        descriptors: int | None = None,
    ) -> None:
        self.config = folder / "gateway.toml"
        self.config.write_text(
            f'listen = "127.0.0.1:0"\nadmin = "127.0.0.1:0"\n[upstream.any]\ntargets = ["{upstream}"]\n'
            + routes
        )
        self._log = folder / "gateway.log"
        home = {"PLAINSTACK_HOME": str(folder / "empty"), "PATH": os.environ["PATH"]}
        with self._log.open("wb") as output:
            self.process = subprocess.Popen(
                [*_limited(descriptors), sys.executable, "gateway.py", "--config", str(self.config)],
                cwd=CHECKOUT,
                env={**home, **(settings or {})},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        until(self._listening, START_SECONDS, f"the gateway listens\n{self._log.read_text()}")
        started = self._listening()
        self.port, self.admin_port = started["port"], started["admin_port"]
        self.client = Client(f"http://127.0.0.1:{self.port}")
        self.admin = Client(f"http://127.0.0.1:{self.admin_port}")

    def lines(self) -> list[dict[str, Any]]:
        """Everything logged so far, but for a line that is being written."""
        return [json.loads(line) for line in self._log.read_text().split("\n")[:-1] if line.startswith("{")]

    def line_of(self, path: str) -> dict[str, Any]:
        """The access log's line for the first request to `path`."""
        until(lambda: self._find(path=path), 20.0, f"a line for {path} in {self._log.read_text()}")
        return self._find(path=path)

    def peak_memory_kb(self) -> int:
        """The most memory that the process ever had."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))

    def stop(self) -> tuple[int, float]:
        """SIGTERM; the exit status, and how many seconds it took."""
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10), time.monotonic() - started

    def close(self) -> None:
        """Leave nothing behind."""
        self.process.kill()
        self.process.wait()

    def _find(self, **members: str) -> dict[str, Any]:
        return next((line for line in self.lines() if members.items() <= line.items()), {})

    def _listening(self) -> dict[str, Any]:
        assert not hasattr(self, "process") or self.process.poll() is None, self._log.read_text()
        return self._find(message="gateway listens")


def _limited(descriptors: int | None) -> list[str]:
    """What comes before a command that may have so many descriptors open."""
    return [] if descriptors is None else ["sh", "-c", f'ulimit -n {descriptors}; exec "$0" "$@"']
