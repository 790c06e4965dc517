"""pytest on ports and data of its own; `./scripts/test`."""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from scripts.support.failures import exit_status
from scripts.support.free_ports import free_port_base
from scripts.support.signal_queue import SignalQueue
from scripts.support.spawning import spawn
from shared.config import CHECKOUT
from shared.ports import OFFSETS

TEST_DATA = CHECKOUT / ".plainstack-test"

# Settings of a real deployment: a test that met them would work on somebody's data.
FOREIGN = (
    "DATABASE_URL_",
    "REDIS_URL",
    "EVENTS_URL",
    "ADMIN_",
    "GATEWAY_CONFIG",
    "PUBLIC_",
    "TOKEN_",
    "BIND_HOST",
)
FOREIGN_ENDINGS = tuple(f"{name.upper()}_URL" for name in OFFSETS)

# Three at a time, also on two cores: much of it waits. A file stays whole, for its tests may share a system.
# Files come in the order of tests/conftest.py: xdist's own, by number of tests, leaves the longest for last.
WHOLE_SUITE = ("-n", "3", "--dist", "loadfile", "--no-loadscope-reorder")
RACES = ("-m", "races", "-v")  # -v names each, for whoever wants to know what is tried


def isolated_environment(variables: Mapping[str, str], home: Path, port_base: int) -> dict[str, str]:
    """`variables` without what leads to other systems, with `home` and `port_base`."""
    kept = {key: value for key, value in variables.items() if not key.startswith(FOREIGN + FOREIGN_ENDINGS)}
    return {**kept, "PLAINSTACK_HOME": str(home), "PORT_BASE": str(port_base)}


def environment_of_tests(variables: Mapping[str, str], home: Path, port_base: int) -> dict[str, str]:
    """Isolated, and whatever has been compiled is kept: tests start hundreds of Pythons on the same files."""
    isolated = isolated_environment(variables, home, port_base)
    return {key: value for key, value in isolated.items() if key != "PYTHONDONTWRITEBYTECODE"}


def pytest_arguments(arguments: Sequence[str]) -> list[str]:
    """What pytest is told. The word `races`, if it comes first, stands for the tests that are marked so."""
    if not arguments:
        return [*WHOLE_SUITE]
    if arguments[:1] == ["races"]:
        return [*RACES, *arguments[1:]]
    return list(arguments)


def _main() -> int:
    TEST_DATA.mkdir(exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="run-", dir=TEST_DATA))
    signals = SignalQueue(signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
    environment = environment_of_tests(os.environ, home, free_port_base())
    command = [sys.executable, "-m", "pytest", *pytest_arguments(sys.argv[1:])]
    tests = spawn(command, death_signal=signal.SIGTERM, environment=environment)
    try:
        while tests.poll() is None:
            for number in signals.wait(None):
                if number == signal.SIGTERM:  # Ctrl-C reaches pytest by itself
                    tests.terminate()
        return tests.returncode if tests.returncode >= 0 else 128 - tests.returncode
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(exit_status("test", _main))
