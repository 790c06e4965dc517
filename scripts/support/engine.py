"""What the embedded engines do the same way: start, serve until told to stop, leave after all others.

The engine's process is our child, recorded as `NAME-server`, and as `NAME-ready` once it can be used. One
lock per engine and PLAINSTACK_HOME makes sure that a recorded server found alive is a leftover, not somebody
else's.
"""

import signal
import subprocess
import time
from pathlib import Path
from typing import IO, Protocol

from scripts.support.failures import SetupError
from scripts.support.locks import held
from scripts.support.records import Records, end
from scripts.support.signal_queue import SignalQueue, stop_among

START_SECONDS = 60.0  # crash recovery of a large database takes its time
LEFTOVER_SECONDS = 5.0
CLIENTS_SECONDS = 3.2  # how long a stopping engine waits for its clients: a little longer than they drain
STOP_SECONDS = 1.0  # both together are less than scripts/keep allows
POLL_SECONDS = 0.05
LOG_BYTES = 10_000_000  # a larger log is put aside at the next start


class Engine(Protocol):
    """One kind of server."""

    name: str
    home: Path
    port: int
    stop_signal: signal.Signals  # the one that makes it leave quickly and cleanly

    def start(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start the server on its data, which is made if missing.

        In a process group of its own: honcho signals whole groups, and an engine is to leave last.
        """
        ...

    def is_answering(self) -> bool:
        """Whether it takes commands now."""
        ...

    def configure(self) -> None:
        """What has to be done once it answers; may be done again at every start."""
        ...

    def count_clients(self) -> int:
        """How many connections others have to it."""
        ...


def idle(name: str, reason: str) -> int:
    """Do nothing until told to stop: an external server does the work."""
    print(f"{name}: not needed, {reason}", flush=True)
    signals = SignalQueue(signal.SIGTERM, signal.SIGINT)
    signals.wait(None)
    return 0


def serve(engine: Engine) -> int:
    """Run `engine` until SIGTERM or SIGINT, then 0. SetupError when it does not start or ends by itself."""
    signals = SignalQueue(signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
    records = Records(engine.home)
    server_name = f"{engine.name}-server"
    alone = held(engine.home / f"{engine.name}.lock", f"another {engine.name} is running on {engine.home}")
    with alone, open_log(engine.home, engine.name) as log:
        if (leftover := records.read(server_name)) is not None:
            end([leftover], engine.stop_signal, LEFTOVER_SECONDS)
        server = engine.start(log)
        try:
            records.write(server_name, server.pid)
            return _serve(engine, server, signals)
        finally:
            _stop(server, engine.stop_signal)
            records.remove(server_name)


def _serve(engine: Engine, server: subprocess.Popen[bytes], signals: SignalQueue) -> int:
    if not _answers_in_time(engine, server, signals):
        return 0
    engine.configure()
    Records(engine.home).write(f"{engine.name}-ready", server.pid)
    print(f"{engine.name}: serves on 127.0.0.1:{engine.port}", flush=True)
    while not stop_among(signals.wait(None)):
        if server.poll() is not None:
            raise SetupError(f"the server ended with status {server.returncode}; see {_log(engine)}")
    _wait_for_clients(engine)
    return 0


def _answers_in_time(engine: Engine, server: subprocess.Popen[bytes], signals: SignalQueue) -> bool:
    """False when told to stop meanwhile."""
    deadline = time.monotonic() + START_SECONDS
    while not engine.is_answering():
        if stop_among(signals.wait(POLL_SECONDS)):
            return False
        if server.poll() is not None:
            raise SetupError(f"the server did not start: {_last_line(_log(engine))} (see {_log(engine)})")
        if time.monotonic() > deadline:
            raise SetupError(f"the server does not answer after {START_SECONDS:g} s; see {_log(engine)}")
    return True


def _wait_for_clients(engine: Engine) -> None:
    """Let the others finish what they are doing: everybody is told to stop at the same moment."""
    deadline = time.monotonic() + CLIENTS_SECONDS
    while time.monotonic() < deadline and engine.count_clients() > 0:
        time.sleep(POLL_SECONDS)


def _stop(server: subprocess.Popen[bytes], number: signal.Signals) -> None:
    if server.poll() is None:
        server.send_signal(number)
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()  # committed data are in the write-ahead log
        server.wait()


def open_log(home: Path, name: str) -> IO[bytes]:
    """Where the engine's own words go: PLAINSTACK_HOME/logs/NAME.log, and one older file beside it."""
    path = home / "logs" / f"{name}.log"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    return path.open("ab")


def _log(engine: Engine) -> Path:
    return engine.home / "logs" / f"{engine.name}.log"


def _last_line(path: Path) -> str:
    """Without what is indented: the frames of a stack trace."""
    lines = [line for line in path.read_text(errors="replace").splitlines() if line[:1].strip()]
    return lines[-1] if lines else "it said nothing"
