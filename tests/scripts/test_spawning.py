"""What a child finds when it starts."""

import subprocess
import sys

from shared.config import CHECKOUT

CHILD = "import os; print(repr(os.read(0, 1)))"
PARENT = f"""
import signal, sys
from scripts.support.signal_queue import SignalQueue
from scripts.support.spawning import spawn
signals = SignalQueue(signal.SIGCHLD)  # takes descriptor 0, as nobody else has it
spawn([sys.executable, "-c", {CHILD!r}], death_signal=signal.SIGTERM).wait()
"""


def test_without_standard_input_a_child_gets_an_empty_one() -> None:
    command = ["sh", "-c", 'exec "$@" <&-', "sh", sys.executable, "-c", PARENT]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.stderr) == ("b''\n", "")
