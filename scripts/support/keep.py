"""`scripts/keep COMMAND …`: run a command, and again whenever it ends, so that one death stops nothing else.

honcho stops everything as soon as one process ends, hence this process in between. It passes SIGTERM and
SIGINT on and then ends as the command does. When whoever started it is gone, it stops the command and leaves.
The command finds `.venv/bin` first on its PATH.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping

from scripts.support.failures import exit_status
from scripts.support.records import Records, parent_of
from scripts.support.signal_queue import SignalQueue
from scripts.support.spawning import spawn
from shared.config import CHECKOUT, Environment

FIRST_DELAY = 0.25  # seconds: back within one second of a death
LONGEST_DELAY = 30.0
ALIVE_LONG_ENOUGH = 5.0  # seconds after which a death counts as the first one again
PARENT_POLL_SECONDS = 0.5
STOP_SECONDS = 4.3  # honcho sends SIGKILL after 5 s


def next_delay(delay: float | None, alive: float) -> float:
    """Seconds to wait before the next start, after a run of `alive` seconds that `delay` came before."""
    if delay is None or alive >= ALIVE_LONG_ENOUGH:
        return FIRST_DELAY
    return min(delay * 2, LONGEST_DELAY)


class Parents:
    """Who wants us to run. honcho starts us through a helper: its death shows one step further up."""

    def __init__(self, under_honcho: bool) -> None:
        self.parent = os.getppid()
        self.honcho = parent_of(self.parent) if under_honcho else 0

    def are_gone(self) -> bool:
        """True when nobody is left who could stop us."""
        return os.getppid() != self.parent or (self.honcho > 0 and parent_of(self.parent) != self.honcho)


class Keeper:
    """Keeps one command running."""

    def __init__(self, command: list[str], environment: Environment) -> None:
        name = environment.values.get("HONCHO_PROCESS_NAME", "")
        self._command = command
        self._name = name or os.path.basename(command[-1])
        self._variables = with_venv_first(environment.values)
        self._records = Records(environment.home.absolute())
        self._parents = Parents(under_honcho=bool(name))
        self._signals = SignalQueue(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)

    def run(self) -> int:
        """Returns the command's last status when told to stop."""
        self._record_us()
        delay: float | None = None
        while True:
            started = time.monotonic()
            child = self._start()
            if (stop := self._wait(child, None)) is not None:
                return self._stop(child, stop)
            delay = next_delay(delay, time.monotonic() - started)
            self._say(f"{_how_it_ended(child.returncode)}, starts again in {delay:g} s")
            if self._wait(None, delay) is not None:
                return 0

    def _start(self) -> subprocess.Popen[bytes]:
        """In a group of its own: honcho signals our whole group, and nobody shall be told twice to drain."""
        child = spawn(self._command, death_signal=signal.SIGTERM, environment=self._variables, own_group=True)
        self._records.write(self._name, child.pid)
        return child

    def _wait(self, child: subprocess.Popen[bytes] | None, seconds: float | None) -> signal.Signals | None:
        """Wait for `child`'s end or until `seconds` have passed; the signal if we are to stop."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while child is None or child.poll() is None:
            rest = PARENT_POLL_SECONDS if deadline is None else deadline - time.monotonic()
            if rest <= 0:
                return None
            for number in self._signals.wait(min(rest, PARENT_POLL_SECONDS)):
                if number != signal.SIGCHLD:
                    return number
            if self._parents.are_gone():
                return signal.SIGTERM
        return None

    def _stop(self, child: subprocess.Popen[bytes], number: signal.Signals) -> int:
        child.send_signal(number)
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._say(f"has not stopped after {STOP_SECONDS:g} s and is killed")
            child.kill()
            child.wait()
        return 0 if child.returncode in (0, -number) else 1

    def _record_us(self) -> None:
        self._records.write(f"{self._name}.keep", os.getpid())
        if self._parents.honcho > 0:
            self._records.write("honcho", self._parents.honcho)

    def _say(self, what: str) -> None:
        print(f"keep: {self._name} {what}", flush=True)


def with_venv_first(variables: Mapping[str, str]) -> dict[str, str]:
    """`variables` with .venv/bin at the head of PATH."""
    path = f"{CHECKOUT / '.venv' / 'bin'}{os.pathsep}{variables.get('PATH', os.defpath)}"
    return {**variables, "PATH": path}


def _how_it_ended(status: int) -> str:
    return f"ended with status {status}" if status >= 0 else f"was ended by {signal.Signals(-status).name}"


def _main() -> int:
    if len(sys.argv) == 1:
        print("usage: scripts/keep COMMAND [ARGUMENT …]", file=sys.stderr)
        return 2
    return Keeper(sys.argv[1:], Environment(os.environ)).run()


if __name__ == "__main__":
    sys.exit(exit_status("keep", _main))
