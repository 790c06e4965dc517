"""Systems beside each other, on servers of others, and without `up`."""

import os
from pathlib import Path

import psycopg

from scripts.support.free_ports import free_port_base, is_free
from scripts.support.service_names import services_with_database
from shared.config import CHECKOUT
from shared.ports import port_of
from tests.e2e.client import Client
from tests.e2e.conftest import NewSystem
from tests.e2e.leftovers import assert_all_have_left
from tests.e2e.system import ADMIN_EMAIL, ADMIN_PASSWORD, LEAVE_SECONDS, UP, System
from tests.engines import Engines
from tests.waiting import until

DEMO = "./scripts/demo"


def test_two_systems_side_by_side_one_of_which_listens_where_its_file_says(
    system: System, new_system: NewSystem, made: Path, core_only: dict[str, str], tmp_path: Path
) -> None:
    elsewhere = free_port_base() + 7
    path = tmp_path / "elsewhere.toml"
    path.write_text(f'listen = "0.0.0.0:{elsewhere}"\n' + (CHECKOUT / "gateway.toml").read_text())
    beside = new_system({**core_only, "GATEWAY_CONFIG": str(path)}, made=made)
    beside.start()
    assert f"gateway http://127.0.0.1:{elsewhere}" in beside.log()
    gateway = Client(f"http://127.0.0.1:{elsewhere}")
    account = {"email": "only.here@example.com", "password": "correct horse battery"}
    assert gateway.post("/auth/signup", {**account, "display_name": "Only here"}).status == 201
    assert gateway.post("/auth/login", account).status == 200
    assert system.client().post("/auth/login", account).status == 401
    assert beside.stop() == 0
    system.wait_until_ready()
    assert system.client().get("/products").status == 200


def test_plain_honcho_start(new_system: NewSystem, made: Path, core_only: dict[str, str]) -> None:
    system = new_system(core_only, made=made)  # has secrets: all that is left for up to do
    honcho = system.launch(".venv/bin/honcho", "start", "-e", os.devnull)
    system.wait_until_ready()
    assert system.client().get("/products").status == 200
    assert "honcho" in system.run(UP).stderr, "a living honcho is no leftover"
    honcho.terminate()
    honcho.wait(LEAVE_SECONDS)
    assert_all_have_left(system)


def test_plain_honcho_killed(new_system: NewSystem, engines_only: dict[str, str]) -> None:
    system = new_system(engines_only)
    system.launch(".venv/bin/honcho", "start", "-e", os.devnull)
    system.wait_until_ready()
    until(lambda: system.records.read("honcho"), 30, "honcho is recorded")
    system.put_row()
    system.kill("honcho")
    system.start()
    assert system.has_row()


def test_external_servers_replace_the_embedded_ones(new_system: NewSystem, engines: Engines) -> None:
    engines.flush_store()
    urls = {f"DATABASE_URL_{name.upper()}": engines.new_database().value for name in services_with_database()}
    system = new_system({**urls, "REDIS_URL": engines.redis_url.value})
    system.start()
    assert not (system.home / "postgres").exists()
    assert is_free(port_of("postgres", system.port_base))
    assert is_free(port_of("valkey", system.port_base))
    done = system.run(DEMO)
    assert done.returncode == 0, done.stdout + done.stderr
    assert system.stop() == 0


def test_one_external_database_and_store_leave_the_other_databases_embedded(
    new_system: NewSystem, made: Path, core_only: dict[str, str], engines: Engines
) -> None:
    engines.flush_store()
    urls = {"DATABASE_URL_AUTH": engines.new_database().value, "REDIS_URL": engines.redis_url.value}
    system = new_system({**core_only, **urls}, made=made)
    system.start()
    assert not is_free(port_of("postgres", system.port_base))
    assert is_free(port_of("valkey", system.port_base))
    psycopg.connect(system.environment.database_url("product").value).close()
    account = {"email": ADMIN_EMAIL, "password": ADMIN_PASSWORD}
    token = system.client().post("/auth/login", account).json["access_token"]
    assert system.client().get("/products", token=token).status == 200


def test_a_relative_home_lies_in_the_checkout(new_system: NewSystem, engines_only: dict[str, str]) -> None:
    system = new_system(engines_only)
    system.variables["PLAINSTACK_HOME"] = os.path.relpath(system.home, CHECKOUT)
    system.start()
    assert (system.home / "postgres").exists()
    assert system.stop() == 0
    assert system.records.alive() == {}


def test_a_fault_in_the_gateways_file_is_one_line(new_system: NewSystem, tmp_path: Path) -> None:
    path = tmp_path / "faulty.toml"
    path.write_text("listen = 8000\n" + (CHECKOUT / "gateway.toml").read_text())
    system = new_system({"GATEWAY_CONFIG": str(path)})
    done = system.run(UP)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "faulty.toml" in done.stderr
    assert_all_have_left(system)
