"""The two commands' promises: a start says when all is ready, a stop leaves nothing behind."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from scripts.support.service_names import services_with_database
from shared.config import CHECKOUT, LOOPBACK
from tests.e2e.conftest import NewSystem
from tests.e2e.leftovers import assert_all_have_left
from tests.e2e.system import (
    CHEAP_PASSWORDS,
    CORE,
    LEAVE_SECONDS,
    READY,
    STOP_SECONDS,
    UP,
    System,
    procfile_of,
)
from tests.waiting import kept_once, until

SECOND_START_SECONDS = 10.0  # two or three on a machine of its own


# Ready


def test_one_ready_line_names_the_urls(system: System) -> None:
    lines = [line for line in system.log().splitlines() if READY in line]
    assert len(lines) == 1
    for name in ("gateway", "gateway_admin", "ws_gateway", "ws_gateway_admin", *services_with_database()):
        assert f"{name} {system.url(name)}" in lines[0]


def test_every_process_answers_readyz(system: System) -> None:
    for name in ("gateway_admin", "ws_gateway_admin", *services_with_database()):
        assert system.client(name).get("/readyz").status == 200


def test_no_secret_shows_in_ps_or_logs(system: System) -> None:
    secrets = [path.read_text().strip() for path in (system.home / "secrets").iterdir()]
    assert len(secrets) >= 7
    arguments = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    logs = "".join(path.read_text(errors="replace") for path in (system.home / "logs").iterdir())
    for secret in secrets:
        assert secret not in arguments
        assert secret not in system.log()
        assert secret not in logs


def test_secrets_are_for_the_owner_only(system: System) -> None:
    folder = system.home / "secrets"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert (system.home / "postgres").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("service", services_with_database())
def test_no_role_enters_another_services_database(system: System, service: str) -> None:
    own = system.environment.database_url(service).value
    psycopg.connect(own).close()
    for database in {*services_with_database(), "postgres", "template1"} - {service}:
        with pytest.raises(psycopg.OperationalError, match="permission denied"):
            psycopg.connect(make_conninfo(own, dbname=database))


# Stopping


@pytest.fixture(scope="module")
def core_system(tmp_path_factory: pytest.TempPathFactory, made: Path) -> Iterator[System]:
    """A system that has been started once and has data; it runs, or not."""
    folder = tmp_path_factory.mktemp("core")
    system = System(folder / "home", {**CHEAP_PASSWORDS, **procfile_of(CORE, folder)}, made=made)
    try:
        system.start()
        system.put_row()
        yield system
    finally:
        system.close()


def test_sigterm_stops_everything_cleanly(new_system: NewSystem, made: Path) -> None:
    def stops_cleanly() -> None:
        system = new_system(made=made)
        system.start()
        _stops_cleanly(system, signal.SIGTERM)

    kept_once(stops_cleanly)


def test_sigint_stops_everything_cleanly(core_system: System) -> None:
    kept_once(lambda: _stops_cleanly(core_system.start_unless_it_runs(), signal.SIGINT))


def _stops_cleanly(system: System, number: signal.Signals) -> None:
    engine_log = system.home / "logs" / "valkey.log"
    already, already_engine = len(system.log()), len(engine_log.read_text())
    assert system.stop(number, STOP_SECONDS) == 0
    assert system.records.alive() == {}
    assert_all_have_left(system)
    assert "killed" not in system.log()[already:]
    ends = engine_log.read_text()[already_engine:].count("Received SIGTERM")
    assert ends == 1, "only its wrapper ends it, after the others"


def test_a_second_start_is_quick_and_finds_its_data(core_system: System) -> None:
    def starts_quickly() -> None:
        if core_system.records.alive():
            core_system.stop()
        seconds = core_system.start()
        print(f"second start: {seconds:.2f} s")
        assert seconds < SECOND_START_SECONDS

    kept_once(starts_quickly)
    assert core_system.has_row()


def test_a_client_in_mid_request_does_not_hold_up_the_stop(core_system: System) -> None:
    def stops_in_time() -> None:
        system = core_system.start_unless_it_runs()
        already = len(system.log())
        head = b"POST /auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n"
        with socket.create_connection((LOOPBACK, system.port_base)) as slow:
            slow.sendall(head + b"{")
            metrics = system.client("gateway_admin")
            in_flight = b"\nhttp_requests_in_flight 1.0"
            until(lambda: in_flight in metrics.get("/metrics").body, 20, "it is in flight")
            assert system.stop(seconds=STOP_SECONDS) == 0
        assert_all_have_left(system)
        assert "killed" not in system.log()[already:]

    kept_once(stops_in_time)


def test_ctrl_c_in_a_terminal_stops_everything(smallest_system: System) -> None:
    """There, every process of the foreground group gets the signal at once."""
    system = smallest_system
    command = ["setsid", "--wait", UP]
    with system.log_path.open("wb") as log:
        launcher = subprocess.Popen(command, cwd=CHECKOUT, env=system.variables, stdout=log, stderr=log)
    until(lambda: READY in system.log(), 60, "ready")
    os.killpg(os.getpgid(system.process("up").pid), signal.SIGINT)
    assert launcher.wait(LEAVE_SECONDS) == 0
    assert_all_have_left(system)


def test_stopping_while_it_starts(smallest_system: System) -> None:
    system = smallest_system
    system.launch(UP)
    until(lambda: _has_keepers(system), 30, "honcho has started them")
    assert system.stop() == 0
    assert_all_have_left(system)


def _has_keepers(system: System) -> bool:
    return all(system.records.read(f"{name}.1.keep") for name in ("postgres", "valkey"))


def test_sigterm_in_the_first_moment_leaves_nothing(
    new_system: NewSystem, engines_only: dict[str, str]
) -> None:
    system = new_system(engines_only)
    launcher = system.launch(UP)
    assert system.stop() in (-signal.SIGTERM, 143, 0)
    assert launcher.poll() is not None
    assert_all_have_left(system)
    assert system.records.alive() == {}


def test_sigterm_while_it_makes_its_data_leaves_only_them(
    new_system: NewSystem, engines_only: dict[str, str]
) -> None:
    system = new_system(engines_only)
    system.launch(UP)
    until(lambda: system.records.read("up"), 30, "it has begun")
    assert system.stop() == 0
    assert_all_have_left(system)
    assert list((system.home / "run").iterdir()) == []
    assert "Traceback" not in system.log()
