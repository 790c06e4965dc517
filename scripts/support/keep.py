"""`scripts/keep COMMAND …`: run a command, and again whenever it ends, so that one death stops nothing else.

honcho stops everything as soon as one process ends, hence this process in between. It passes SIGTERM and
SIGINT on and then ends as the command does. When whoever started it is gone, it stops the command and leaves.
The command finds `.venv/bin` first on its PATH.

`--after postgres,valkey` puts the first start off until those are ready, so that a system that is coming up
does not look like one that is broken. It is no promise: after AFTER_SECONDS the command starts without them.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from scripts.support.failures import BAD_SETTING, exit_status
from scripts.support.parts import Part, part_of, runs_here
from scripts.support.readiness import why_not_ready
from scripts.support.records import Records, parent_of
from scripts.support.refusals import Refusals
from scripts.support.relay import Relay
from scripts.support.signal_queue import SignalQueue, stop_among
from scripts.support.spawning import spawn
from shared.config import CHECKOUT, Environment
from shared.ports import OFFSETS

FIRST_DELAY = 0.25  # seconds: back within one second of a death
LONGEST_DELAY = 30.0
ALIVE_LONG_ENOUGH = 5.0  # seconds after which a death counts as the first one again
PARENT_POLL_SECONDS = 0.5
AFTER_SECONDS = 10.0  # the longest that the first start is put off
AFTER_POLL_SECONDS = 0.1
AWAITED = OFFSETS.keys() - {"gateway"}  # nobody needs that one, and to ask it takes its file
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
    """Keeps one command running, the first time after all of `after` are ready."""

    def __init__(self, command: list[str], environment: Environment, after: Sequence[Part] = ()) -> None:
        name = environment.values.get("HONCHO_PROCESS_NAME", "")
        self._command = command
        self._name = name or os.path.basename(command[-1])
        self._variables = with_venv_first(environment.values)
        self._after = after
        self._records = Records(environment.home.absolute())
        self._refusals = Refusals(environment.home.absolute())
        self._parents = Parents(under_honcho=bool(name))
        self._signals = SignalQueue(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)

    def run(self) -> int:
        """Returns the command's last status when told to stop."""
        self._record_us()
        if self._wait_for_others() is not None:
            return 0
        delay: float | None = None
        while True:
            started = time.monotonic()
            child, errors = self._start()
            if (stop := self._wait_for_end(child, errors)) is not None:
                return self._stop(child, errors, stop)
            errors.close()
            if child.returncode == BAD_SETTING:
                self._refusals.write(self._name, errors.last_line())
            delay = next_delay(delay, time.monotonic() - started)
            self._say(f"{_how_it_ended(child.returncode)}, starts again in {delay:g} s")
            if self._pause(delay) is not None:
                return 0

    def _start(self) -> tuple[subprocess.Popen[bytes], Relay]:
        """In a group of its own: honcho signals our whole group, and nobody shall be told twice to drain."""
        self._refusals.remove(self._name)
        child = spawn(
            self._command,
            death_signal=signal.SIGTERM,
            environment=self._variables,
            errors=subprocess.PIPE,
            own_group=True,
        )
        assert child.stderr is not None
        self._records.write(self._name, child.pid)
        return child, Relay(child.stderr)

    # Waiting; each returns the signal if we are to stop meanwhile

    def _wait_for_others(self) -> signal.Signals | None:
        deadline = time.monotonic() + AFTER_SECONDS
        for part in self._after:
            while why := why_not_ready(part):
                if time.monotonic() > deadline:
                    self._say(f"starts, although {part.name} is not ready: {why}")
                    return None
                if (stop := self._pause(AFTER_POLL_SECONDS)) is not None:
                    return stop
        return None

    def _wait_for_end(self, child: subprocess.Popen[bytes], errors: Relay) -> signal.Signals | None:
        while child.poll() is None:
            if (stop := self._wait(PARENT_POLL_SECONDS, errors.files())) is not None:
                return stop
            errors.hand_on()
        return None

    def _pause(self, seconds: float) -> signal.Signals | None:
        deadline = time.monotonic() + seconds
        while (rest := deadline - time.monotonic()) > 0:
            if (stop := self._wait(min(rest, PARENT_POLL_SECONDS))) is not None:
                return stop
        return None

    def _wait(self, seconds: float, files: Sequence[int] = ()) -> signal.Signals | None:
        """One step: until something happens, `files` can be read, or `seconds` have passed."""
        stop = stop_among(self._signals.wait(seconds, files))
        return stop or (signal.SIGTERM if self._parents.are_gone() else None)

    # Leaving

    def _stop(self, child: subprocess.Popen[bytes], errors: Relay, number: signal.Signals) -> int:
        child.send_signal(number)
        deadline = time.monotonic() + STOP_SECONDS
        while child.poll() is None and (rest := deadline - time.monotonic()) > 0:
            self._signals.wait(rest, errors.files())
            errors.hand_on()
        if child.poll() is None:
            self._say(f"has not stopped after {STOP_SECONDS:g} s and is killed")
            child.kill()
            child.wait()
        errors.close()
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
    parser = argparse.ArgumentParser(
        prog="scripts/keep",
        usage="%(prog)s [-h] [--after NAME[,NAME…]] COMMAND [ARGUMENT …]",
        description="Runs a command and restarts it whenever it ends. Made for the lines of a Procfile.",
    )
    parser.add_argument(
        "--after",
        type=_names,
        default=[],
        metavar="NAMES",
        help=f"put the first start off until these processes are ready, {AFTER_SECONDS:g} s at most",
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not arguments.command:
        parser.error("which command?")
    environment = Environment(os.environ)
    after = [part_of(name, environment) for name in arguments.after if runs_here(name, environment)]
    return Keeper(arguments.command, environment, after).run()


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if unknown := set(names) - AWAITED:
        raise argparse.ArgumentTypeError(f"no process to wait for is called {', '.join(unknown)}")
    return names


if __name__ == "__main__":
    sys.exit(exit_status("keep", _main))
