"""How processes start and end, seen from outside."""

import os
import signal
import subprocess
import sys

import pytest

from shared.runtime import Failure, NeedsOperator, Readiness

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


MEASURED = """
import asyncio
from prometheus_client import REGISTRY
from shared.runtime import run

async def main(environment):
    while not REGISTRY.get_sample_value("event_loop_delay_seconds_count"):
        await asyncio.sleep(0.01)

run("example", main)
"""


def start(program: str = PROGRAM, **settings: str) -> "subprocess.Popen[str]":
    environment = {**os.environ, **settings}
    return subprocess.Popen(
        [sys.executable, "-c", program],
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


def test_every_process_measures_its_event_loop() -> None:
    _, errors = (process := start(MEASURED)).communicate(timeout=10)
    assert (process.returncode, errors) == (0, "")


async def test_readiness_names_what_is_missing() -> None:
    async def fails() -> None:
        raise RuntimeError("no answer")

    async def works() -> None:
        pass

    async def waits_for_somebody() -> None:
        raise NeedsOperator("wrong password")

    readiness = Readiness()
    readiness.require("database", fails)
    readiness.require("store", works)
    readiness.require("bus", waits_for_somebody)
    assert await readiness.failures() == [
        Failure("database", "no answer"),
        Failure("bus", "wrong password", lasts=True),
    ]
    readiness.draining = True
    assert await readiness.failures() == [Failure("process", "is draining")]
