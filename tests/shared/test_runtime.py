"""How processes start and end, seen from outside."""

import os
import signal
import subprocess
import sys

import pytest

from shared.runtime import Readiness

PROGRAM = """
from shared.runtime import forever, run

async def main(environment):
    environment.integer("LIMIT", 1)
    try:
        print("started", flush=True)
        await forever()
    finally:
        print("drained", flush=True)

run("example", main)
"""


def start(**settings: str) -> "subprocess.Popen[str]":
    environment = {**os.environ, **settings}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_after_it_has_drained(number: signal.Signals) -> None:
    process = start()
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    process.send_signal(number)
    output, errors = process.communicate(timeout=10)
    assert output.startswith("drained\n")
    assert (process.returncode, errors) == (0, "")


def test_a_bad_setting_is_one_line_and_status_2() -> None:
    process = start(LIMIT="many")
    output, errors = process.communicate(timeout=10)
    assert (process.returncode, output) == (2, "")
    assert errors == "example: LIMIT: must be a whole number, not 'many'\n"


async def test_readiness_names_what_is_missing() -> None:
    async def fails() -> None:
        raise RuntimeError("no answer")

    async def works() -> None:
        pass

    readiness = Readiness()
    readiness.require("database", fails)
    readiness.require("store", works)
    assert await readiness.failures() == {"database": "no answer"}
    readiness.draining = True
    assert await readiness.failures() == {"process": "is draining"}
