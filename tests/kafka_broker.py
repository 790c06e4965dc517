"""A real Kafka for tests, on ports and data of its own, to be killed, frozen and started again.

Usage: the fixture `kafka_broker` (conftest.py) is one for all tests of a file: who kills it starts it again,
who freezes it thaws it. `with KafkaBroker(tmp_path) as broker:`, after `need_kafka()`, is a test's own.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Self

import pytest

from scripts.support.failures import SetupError
from scripts.support.free_ports import free_port_base
from scripts.support.kafka import make_ready
from scripts.support.kafka_jars import are_fetched
from scripts.support.parts import embedded_kafka_url
from scripts.support.records import Records
from scripts.support.run_tests import isolated_environment
from scripts.support.spawning import spawn
from shared.config import Environment
from tests.waiting import until

START_SECONDS = 60.0
SERVES = "kafka: serves"
UNTESTED = "KAFKA WAS NOT TESTED"


def why_no_kafka() -> str:
    """Empty when a broker can be started here, or else what is missing."""
    needed = ("java",) if are_fetched() else ("java", "mvn")
    missing = [name for name in needed if shutil.which(name) is None]
    return f"{' and '.join(missing)} not installed" if missing else ""


def need_kafka() -> None:
    """Fetch Kafka if need be. Where it cannot be had the test is skipped, or fails if REQUIRE_KAFKA=1."""
    if reason := why_no_kafka() or _why_not_ready():
        if os.environ.get("REQUIRE_KAFKA") == "1":
            pytest.fail(f"REQUIRE_KAFKA=1, but there is no Kafka: {reason}")
        pytest.skip(f"{UNTESTED}: {reason}")


def _why_not_ready() -> str:
    try:
        make_ready()
    except SetupError as failure:
        return str(failure)
    return ""


def untested_because(skipped: Iterable[object]) -> set[str]:
    """What pytest's reports of skipped tests say about Kafka, UNTESTED and the reason; empty if nothing."""
    reasons = (str(getattr(report, "longrepr", "")) for report in skipped)
    return {match[0] for reason in reasons if (match := re.search(rf"{UNTESTED}: [^'\"\n]+", reason))}


class KafkaBroker:
    """One broker, which ends with the thread that starts it. Methods return when what they say is done."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._port_base = free_port_base()
        self.url = embedded_kafka_url(Environment({"PORT_BASE": str(self._port_base)}))
        self._engine: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it on its data and its port; it answers."""
        already = self._log().count(SERVES)
        with self._log_path.open("ab") as log:
            engine = self._engine = spawn(
                [sys.executable, "-m", "scripts.support.kafka", "up"],
                death_signal=signal.SIGTERM,
                environment=isolated_environment(os.environ, self.home, self._port_base),
                output=log,
            )
        until(
            lambda: self._log().count(SERVES) > already or engine.poll() is not None,
            START_SECONDS,
            "Kafka serves",
            self._log,
        )
        assert engine.poll() is None, self._log()

    def stop(self) -> None:
        """Stop it as an operator does, if it runs."""
        if self._engine is not None:
            self._engine.terminate()
            self._engine.wait()
            self._engine = None

    def kill(self) -> None:
        """SIGKILL, as a crash: acknowledged records are there after the next `start`."""
        self._signal(signal.SIGKILL)
        assert self._engine is not None
        self._engine.wait()
        self._engine = None

    def freeze(self) -> None:
        """Let it stand still: connections stay, answers do not come."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        server = Records(self.home).read("kafka-server")
        assert server is not None, "it does not run"
        os.kill(server.pid, number)

    @property
    def _log_path(self) -> Path:
        self.home.mkdir(parents=True, exist_ok=True)
        return self.home / "kafka_broker.log"

    def _log(self) -> str:
        return self._log_path.read_text() if self._log_path.exists() else ""
