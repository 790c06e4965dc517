"""What stands in the way of a start is one line, and ends it."""

import asyncio
import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from scripts.support.service_names import services_with_database
from services.product import main as product
from shared.config import LOOPBACK, Secret
from shared.ports import port_of
from tests.e2e.conftest import NewSystem
from tests.e2e.leftovers import assert_all_have_left
from tests.e2e.system import (
    ADMIN_EMAIL,
    ADMIN_PASSWORD,
    CHEAP_PASSWORDS,
    LEAVE_SECONDS,
    SMALLEST,
    UP,
    System,
    procfile_of,
)
from tests.engines import Engines
from tests.mounts import ONE_MEGABYTE, READ_ONLY, mounted
from tests.services.databases import opened
from tests.waiting import until

REFUSAL_SECONDS = 45.0  # a few on an idle machine; what matters is that it is not the minute that up waits


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as listening:
        yield listening


def test_a_taken_port_is_one_line(refused: System, listener: socket.socket) -> None:
    port = port_of("product", refused.port_base)
    listener.bind((LOOPBACK, port))
    listener.listen()
    done = refused.run(UP)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"port {port}" in done.stderr
    assert "PORT_BASE" in done.stderr
    assert_all_have_left(refused)


def test_an_unwritable_home_is_one_line(new_system: NewSystem, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    system = new_system({"PLAINSTACK_HOME": str(tmp_path / "file" / "home")})
    done = system.run(UP)
    assert done.returncode == 1
    assert done.stderr == f"up: PLAINSTACK_HOME: {tmp_path / 'file' / 'home' / 'run'}: Not a directory\n"


def test_a_home_that_cannot_be_written_is_one_line(new_system: NewSystem, tmp_path: Path) -> None:
    """What its owner may not write, root may all the same: so it is mounted read-only."""
    with mounted(tmp_path, READ_ONLY):
        done = new_system({"PLAINSTACK_HOME": str(tmp_path / "home")}).run(UP)
    assert done.returncode == 1
    assert done.stderr == f"up: PLAINSTACK_HOME: {tmp_path / 'home'}: Read-only file system\n"


def test_a_bad_setting_is_one_line(new_system: NewSystem) -> None:
    system = new_system()
    system.variables["PORT_BASE"] = "eighty"
    done = system.run(UP)
    assert done.returncode == 2
    assert done.stderr == "up: PORT_BASE: must be a whole number, not 'eighty'\n"


@pytest.fixture(scope="module")
def _refused(tmp_path_factory: pytest.TempPathFactory, engines: Engines) -> System:
    urls = {f"DATABASE_URL_{name.upper()}": engines.new_database().value for name in services_with_database()}
    settings = {**CHEAP_PASSWORDS, **urls, "REDIS_URL": engines.redis_url.value}
    return System(tmp_path_factory.mktemp("refused") / "home", settings)


@pytest.fixture
def refused(_refused: System) -> Iterator[System]:
    """A system to be given settings that it cannot use. Its engines run already, and it waits for nothing."""
    _refused.take_free_ports()
    yield _refused
    _refused.close()


@pytest.mark.parametrize(
    ("process", "key", "value"),
    [
        ("auth", "BCRYPT_COST", "99"),
        ("auth", "DATABASE_URL_AUTH", "postgresql://auth:hunter2@[host/auth"),
        ("product", "CURRENCY", "XXQ"),
        ("gateway", "TRUSTED_PROXIES", "everyone"),
        ("(auth|product|gateway)", "LOG_LEVEL", "loud"),
        ("(auth|gateway|product)", "REDIS_URL", "http://:hunter2@127.0.0.1"),
    ],
)
def test_a_setting_that_a_process_refuses_ends_the_start(
    refused: System, tmp_path: Path, process: str, key: str, value: str
) -> None:
    needed = {"auth": ["auth"], "product": ["product"]}.get(process, ["auth", "product", "gateway"])
    started = time.monotonic()
    done = refused.run(UP, **{key: value}, **procfile_of(needed, tmp_path))
    assert time.monotonic() - started < REFUSAL_SECONDS
    assert done.returncode == 2
    assert re.fullmatch(f"up: {process}: {key}: .+\n", done.stderr)
    assert f": {key}: " in done.stdout, "the process itself said so as well"
    assert "hunter2" not in done.stdout + done.stderr
    assert_all_have_left(refused)


def test_a_changed_migration_ends_the_start(refused: System, engines: Engines, tmp_path: Path) -> None:
    url = engines.new_database()
    asyncio.run(_migrate(url))
    with psycopg.connect(url.value) as connection:
        connection.execute("UPDATE schema_migrations SET checksum = 'another' WHERE name LIKE '0001%'")
    started = time.monotonic()
    done = refused.run(UP, DATABASE_URL_PRODUCT=url.value, **procfile_of(["product"], tmp_path))
    assert time.monotonic() - started < REFUSAL_SECONDS
    assert done.returncode == 1
    assert re.fullmatch(r"up: product: database: 0001_\w+\.sql: was changed after .+\n", done.stderr)
    assert_all_have_left(refused)


async def _migrate(url: Secret) -> None:
    async with opened(url, product.MIGRATIONS):
        pass


def test_a_store_that_wants_another_password_ends_the_start(
    refused: System, engines: Engines, tmp_path: Path
) -> None:
    password = engines.environment.secret("VALKEY_PASSWORD").value
    wrong = engines.redis_url.value.replace(quote(password, safe=""), "hunter2")
    done = refused.run(UP, REDIS_URL=wrong, **procfile_of(["auth"], tmp_path))
    assert done.returncode == 1
    assert re.fullmatch("up: auth: store: .*REDIS_URL.*\n", done.stderr)
    assert "hunter2" not in done.stdout + done.stderr
    assert_all_have_left(refused)


def test_a_lost_encryption_key_ends_the_start_and_revoking_is_the_way_out(
    new_system: NewSystem, made: Path, tmp_path: Path
) -> None:
    system = new_system(procfile_of((*SMALLEST, "auth"), tmp_path), made=made)
    system.start()
    assert system.stop() == 0
    (system.home / "secrets" / "auth_key_encryption_key").unlink()
    started = time.monotonic()
    done = system.run(UP)
    assert time.monotonic() - started < REFUSAL_SECONDS
    assert done.returncode == 1
    said = "up: auth: signing keys: AUTH_KEY_ENCRYPTION_KEY does not open signing key (.+)\n"
    key = re.fullmatch(said, done.stderr)
    assert key is not None
    assert_all_have_left(system)

    engines = system.launch(".venv/bin/honcho", "start", "-e", os.devnull, "postgres", "valkey")
    until(lambda: system.records.read("valkey-ready"), 60, "the store is there")
    until(lambda: system.records.read("postgres-ready"), 60, "the database is there")
    assert f"{key[1]} " in system.command("admin", "keys").stdout
    revoked = system.command("admin", "keys", "revoke", "--", key[1])
    assert (revoked.returncode, revoked.stderr) == (0, "")
    engines.terminate()
    engines.wait(LEAVE_SECONDS)
    procfile_of((*SMALLEST, "auth", "gateway"), tmp_path)
    system.start()
    account = {"email": ADMIN_EMAIL, "password": ADMIN_PASSWORD}
    assert system.client().post("/auth/login", account).status == 200


def test_an_admins_common_password_ends_the_start(refused: System, tmp_path: Path) -> None:
    somebody_new = {"ADMIN_EMAIL": "new@example.com", "ADMIN_PASSWORD": "Password"}
    done = refused.run(UP, **somebody_new, **procfile_of(["auth"], tmp_path))
    assert done.returncode == 1
    assert re.fullmatch("up: auth: admin: ADMIN_PASSWORD: .+\n", done.stderr)


def test_a_full_disk_is_one_line(new_system: NewSystem, tmp_path: Path) -> None:
    with mounted(tmp_path, ONE_MEGABYTE):
        done = new_system({"PLAINSTACK_HOME": str(tmp_path / "home")}).run(UP)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "the disk is full" in done.stderr


def test_a_second_launcher_on_the_same_home_is_refused(system: System) -> None:
    done = system.run(UP)
    assert done.returncode == 1
    assert "already running" in done.stderr
    assert done.stderr.count("\n") == 1
    system.wait_until_ready()
