"""The two commands' promises: start, stop, restart, and what stands in the way is one line."""

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from scripts.support.free_ports import free_port_base, is_free
from scripts.support.records import parent_of
from scripts.support.secret_files import make_secrets, secret_keys
from shared.config import CHECKOUT, LOOPBACK
from shared.ports import port_of
from tests.e2e.client import Client
from tests.e2e.system import ADMIN_EMAIL, ADMIN_PASSWORD, READY, STOP_SECONDS, System
from tests.engines import Engines
from tests.waiting import until

SECOND_START_SECONDS = 5.0
RESTART_SECONDS = 1.0
REFUSAL_SECONDS = 20.0  # a few on an idle machine; what matters is that it is not the time that up waits
UP, DEMO = "./scripts/up", "./scripts/demo"
NewSystem = Callable[..., System]


@pytest.fixture
def engines_only(tmp_path: Path) -> dict[str, str]:
    """Settings of the smallest system there is."""
    lines = [line for line in (CHECKOUT / "Procfile").read_text().splitlines() if "support" in line]
    path = tmp_path / "Procfile"
    path.write_text("\n".join(lines) + "\n")
    return {"PROCFILE": str(path)}


def own_processes(system: System) -> set[int]:
    """Every process that carries this system's home in its environment or belongs to one that does."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"PLAINSTACK_HOME={system.home}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.add(int(folder.name))
        except OSError:
            continue
    return {pid for pid in found if parent_of(pid) and pid != os.getpid() and not _is_zombie(pid)}


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def put_row(system: System) -> None:
    with system.superuser() as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS value")


def row_is_there(system: System) -> bool:
    with system.superuser() as connection:
        return connection.execute("SELECT value FROM kept").fetchone() == (42,)


# Ready


def test_one_ready_line_names_the_urls(system: System) -> None:
    lines = [line for line in system.log().splitlines() if READY in line]
    assert len(lines) == 1
    for name in ("gateway", "gateway_admin", "auth", "product"):
        assert f"{name} {system.url(name)}" in lines[0]


def test_every_process_answers_readyz(system: System) -> None:
    for name in ("gateway_admin", "auth", "product"):
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


def test_no_role_enters_another_services_database(system: System) -> None:
    own = system.environment.database_url("auth").value
    psycopg.connect(own).close()
    for database in ("product", "postgres", "template1"):
        with pytest.raises(psycopg.OperationalError, match="permission denied"):
            psycopg.connect(make_conninfo(own, dbname=database))


# Stopping


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_everything_cleanly(own_system: System, number: signal.Signals) -> None:
    assert own_system.stop(number) == 0
    assert own_system.records.alive() == {}
    assert own_processes(own_system) == set()
    assert "killed" not in own_system.log()
    engine_log = (own_system.home / "logs" / "valkey.log").read_text()
    assert engine_log.count("Received SIGTERM") == 1, "only its wrapper ends it, when the others have left"


def test_a_client_in_mid_request_does_not_hold_up_the_stop(own_system: System) -> None:
    head = b"POST /auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n"
    with socket.create_connection((LOOPBACK, own_system.port_base)) as slow:
        slow.sendall(head + b"{")
        metrics = own_system.client("gateway_admin")
        until(lambda: b"\nhttp_requests_in_flight 1.0" in metrics.get("/metrics").body, 5, "it is in flight")
        assert own_system.stop() == 0
    assert own_processes(own_system) == set()
    assert "killed" not in own_system.log()


def test_ctrl_c_in_a_terminal_stops_everything(new_system: NewSystem, engines_only: dict[str, str]) -> None:
    """There, every process of the foreground group gets the signal at once."""
    system = new_system(engines_only)
    command = ["setsid", "--wait", "./scripts/up"]
    with system.log_path.open("wb") as log:
        launcher = subprocess.Popen(command, cwd=CHECKOUT, env=system.variables, stdout=log, stderr=log)
    until(lambda: READY in system.log(), 60, "ready")
    os.killpg(os.getpgid(system.process("up").pid), signal.SIGINT)
    assert launcher.wait(STOP_SECONDS) == 0
    assert own_processes(system) == set()


def test_stopping_while_it_starts(new_system: NewSystem, engines_only: dict[str, str]) -> None:
    system = new_system(engines_only)
    system.launch("./scripts/up")
    until(lambda: system.records.read("up.honcho"), 30, "honcho has started")
    assert system.stop() == 0
    assert own_processes(system) == set()


def test_sigterm_in_the_first_moment_leaves_nothing(
    new_system: NewSystem, engines_only: dict[str, str]
) -> None:
    system = new_system(engines_only)
    launcher = system.launch(UP)
    assert system.stop() in (-signal.SIGTERM, 143, 0)
    assert launcher.poll() is not None
    assert own_processes(system) == set()
    assert system.records.alive() == {}


def test_sigterm_while_it_makes_its_data_leaves_only_them(
    new_system: NewSystem, engines_only: dict[str, str]
) -> None:
    system = new_system(engines_only)
    system.launch(UP)
    until(lambda: system.records.read("up"), 30, "it has begun")
    assert system.stop() == 0
    assert own_processes(system) == set()
    assert list((system.home / "run").iterdir()) == []
    assert "Traceback" not in system.log()


def test_a_second_start_is_quick_and_finds_its_data(own_system: System) -> None:
    put_row(own_system)
    own_system.stop()
    seconds = own_system.start()
    print(f"second start: {seconds:.2f} s")
    assert seconds < SECOND_START_SECONDS
    assert row_is_there(own_system)


# Killing


@pytest.mark.parametrize("name", ["gateway.1", "auth.1", "product.1", "postgres.1", "valkey.1"])
def test_a_killed_process_is_back_within_a_second(system: System, name: str) -> None:
    family = name.partition(".")[0]
    others = {key: value for key, value in system.records.alive().items() if not key.startswith(family)}
    former = system.kill(name)
    assert system.wait_for_successor(name, former, RESTART_SECONDS) < RESTART_SECONDS
    system.wait_until_ready()
    assert {key: system.records.read(key) for key in others} == others


@pytest.mark.parametrize("name", ["postgres-server", "valkey-server"])
def test_a_killed_server_is_back_with_its_data(system: System, name: str) -> None:
    with system.superuser() as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept AS SELECT 42 AS value")
    former = system.kill(name)
    system.wait_for_successor(name, former, 10)
    system.wait_until_ready()
    assert row_is_there(system)


@pytest.mark.parametrize("names", [["up"], ["honcho"], ["valkey.1.keep"], ["up", "honcho"], ["everything"]])
def test_after_a_kill_the_next_start_finds_all_data(
    new_system: NewSystem, engines_only: dict[str, str], names: list[str]
) -> None:
    system = new_system(engines_only)
    system.start()
    put_row(system)
    if names == ["everything"]:
        names = list(system.records.alive())
    for identity in [system.process(name) for name in names]:
        with suppress(ProcessLookupError):  # dead already, with the one it hangs on
            os.kill(identity.pid, signal.SIGKILL)
    system.start()
    assert row_is_there(system)
    assert system.stop() == 0
    assert own_processes(system) == set()


def test_a_killed_launcher_leaves_nothing_behind(new_system: NewSystem, engines_only: dict[str, str]) -> None:
    system = new_system(engines_only)
    system.start()
    system.kill("up")
    until(lambda: not own_processes(system), STOP_SECONDS, "all have left")


def test_a_killed_honcho_leaves_nothing_behind(new_system: NewSystem, engines_only: dict[str, str]) -> None:
    system = new_system(engines_only)
    system.start()
    system.kill("honcho")
    until(lambda: not own_processes(system), STOP_SECONDS + 1, "all have left")


def test_a_keeper_that_honcho_lost_ends_everything(
    new_system: NewSystem, engines_only: dict[str, str]
) -> None:
    """The process between honcho and a keeper is killed: honcho does not notice, so `up` has to."""
    system = new_system(engines_only)
    system.start()
    os.kill(parent_of(system.process("valkey.1.keep").pid), signal.SIGKILL)
    until(lambda: "valkey.1.keep has gone" in system.log(), 15, "up says what is missing")
    until(lambda: not own_processes(system), 10, "all have left")


# What stands in the way


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as listening:
        yield listening


def test_a_taken_port_is_one_line(new_system: NewSystem, listener: socket.socket) -> None:
    system = new_system()
    port = port_of("product", system.port_base)
    listener.bind((LOOPBACK, port))
    listener.listen()
    done = system.run(UP)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"port {port}" in done.stderr
    assert "PORT_BASE" in done.stderr
    assert own_processes(system) == set()


def test_an_unwritable_home_is_one_line(new_system: NewSystem, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    system = new_system({"PLAINSTACK_HOME": str(tmp_path / "file" / "home")})
    done = system.run(UP)
    assert done.returncode == 1
    assert done.stderr == f"up: PLAINSTACK_HOME: {tmp_path / 'file' / 'home' / 'run'}: Not a directory\n"


def test_a_home_that_cannot_be_written_is_one_line(new_system: NewSystem, tmp_path: Path) -> None:
    """What its owner may not write, root may all the same: so it is mounted read-only."""
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "none", str(tmp_path)]
    if subprocess.run(mount, check=False).returncode != 0:
        pytest.skip("mounting needs root")
    try:
        done = new_system({"PLAINSTACK_HOME": str(tmp_path / "home")}).run(UP)
    finally:
        subprocess.run(["umount", tmp_path], check=True)
    assert done.returncode == 1
    assert done.stderr == f"up: PLAINSTACK_HOME: {tmp_path / 'home'}: Read-only file system\n"


def test_a_bad_setting_is_one_line(new_system: NewSystem) -> None:
    system = new_system()
    system.variables["PORT_BASE"] = "eighty"
    done = system.run(UP)
    assert done.returncode == 2
    assert done.stderr == "up: PORT_BASE: must be a whole number, not 'eighty'\n"


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system that is given settings it cannot use; its data stay from one start to the next."""
    system = System(tmp_path_factory.mktemp("refused") / "home")
    yield system
    system.close()


@pytest.mark.parametrize(
    ("process", "key", "value"),
    [
        ("auth", "BCRYPT_COST", "99"),
        ("auth", "DATABASE_URL_AUTH", "postgresql://auth:hunter2@[host/auth"),
        ("product", "CURRENCY", "XXQ"),
        ("gateway", "TRUSTED_PROXIES", "everyone"),
        ("(auth|product|gateway)", "LOG_LEVEL", "loud"),
        ("(auth|gateway)", "REDIS_URL", "http://:hunter2@127.0.0.1"),
    ],
)
def test_a_setting_that_a_process_refuses_ends_the_start(
    refused: System, process: str, key: str, value: str
) -> None:
    started = time.monotonic()
    done = refused.run(UP, **{key: value})
    assert time.monotonic() - started < REFUSAL_SECONDS
    assert done.returncode == 2
    assert re.fullmatch(f"up: {process}: {key}: .+\n", done.stderr)
    assert f": {key}: " in done.stdout, "the process itself said so as well"
    assert "hunter2" not in done.stdout + done.stderr
    assert own_processes(refused) == set()


def test_a_changed_migration_ends_the_start(new_system: NewSystem, tmp_path: Path) -> None:
    lines = [line for line in (CHECKOUT / "Procfile").read_text().splitlines() if "auth" not in line]
    (tmp_path / "Procfile").write_text("\n".join(lines) + "\n")
    system = new_system({"PROCFILE": str(tmp_path / "Procfile")})
    system.start()
    with psycopg.connect(system.environment.database_url("product").value) as connection:
        connection.execute("UPDATE schema_migrations SET checksum = 'another' WHERE name LIKE '0001%'")
    assert system.stop() == 0
    started = time.monotonic()
    done = system.run(UP)
    assert time.monotonic() - started < REFUSAL_SECONDS
    assert done.returncode == 1
    assert re.fullmatch(r"up: product: database: 0001_\w+\.sql: was changed after .+\n", done.stderr)
    assert own_processes(system) == set()


def test_a_store_that_wants_another_password_ends_the_start(refused: System, engines: Engines) -> None:
    password = engines.environment.secret("VALKEY_PASSWORD").value
    done = refused.run(UP, REDIS_URL=engines.redis_url.value.replace(quote(password, safe=""), "hunter2"))
    assert done.returncode == 1
    assert re.fullmatch("up: auth: store: .*REDIS_URL.*\n", done.stderr)
    assert "hunter2" not in done.stdout + done.stderr
    assert own_processes(refused) == set()


def test_a_lost_encryption_key_ends_the_start_and_revoking_is_the_way_out(new_system: NewSystem) -> None:
    system = new_system({"BCRYPT_COST": "4"})
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
    assert own_processes(system) == set()

    engines = system.launch(".venv/bin/honcho", "start", "-e", os.devnull, "postgres", "valkey")
    until(lambda: system.run("./scripts/admin", "keys").returncode == 0, 20, "the database is there")
    revoked = system.run("./scripts/admin", "keys", "revoke", "--", key[1])
    assert (revoked.returncode, revoked.stderr) == (0, "")
    engines.terminate()
    engines.wait(STOP_SECONDS)
    system.start()
    account = {"email": ADMIN_EMAIL, "password": ADMIN_PASSWORD}
    assert system.client().post("/auth/login", account).status == 200


def test_an_admins_common_password_ends_the_start(new_system: NewSystem) -> None:
    done = new_system({"BCRYPT_COST": "4", "ADMIN_PASSWORD": "Password"}).run(UP)
    assert done.returncode == 1
    assert re.fullmatch("up: auth: admin: ADMIN_PASSWORD: .+\n", done.stderr)


def test_a_full_disk_is_one_line(new_system: NewSystem, tmp_path: Path) -> None:
    if (
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", tmp_path], check=False).returncode
        != 0
    ):
        pytest.skip("mounting a small disk needs root")
    try:
        done = new_system({"PLAINSTACK_HOME": str(tmp_path / "home")}).run(UP)
    finally:
        subprocess.run(["umount", tmp_path], check=True)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "the disk is full" in done.stderr


def test_a_second_launcher_on_the_same_home_is_refused(system: System) -> None:
    done = system.run(UP)
    assert done.returncode == 1
    assert "already running" in done.stderr
    assert done.stderr.count("\n") == 1
    system.wait_until_ready(5)


# Beside each other, and without us


def test_two_systems_side_by_side(system: System, own_system: System) -> None:
    account = {"email": "only.here@example.com", "password": "correct horse battery"}
    signed_up = own_system.client().post("/auth/signup", {**account, "display_name": "Only here"})
    assert signed_up.status == 201
    assert own_system.client().post("/auth/login", account).status == 200
    assert system.client().post("/auth/login", account).status == 401
    assert own_system.stop() == 0
    system.wait_until_ready(5)
    assert system.client().get("/products").status == 200


def test_plain_honcho_start(new_system: NewSystem) -> None:
    system = new_system()
    make_secrets(system.home, secret_keys())  # all that is left for up to do
    honcho = system.launch(".venv/bin/honcho", "start", "-e", os.devnull)
    system.wait_until_ready()
    assert system.client().get("/products").status == 200
    assert "honcho" in system.run(UP).stderr, "a living honcho is no leftover"
    honcho.terminate()
    honcho.wait(STOP_SECONDS)
    assert own_processes(system) == set()


def test_plain_honcho_killed(new_system: NewSystem, engines_only: dict[str, str]) -> None:
    system = new_system(engines_only)
    system.launch(".venv/bin/honcho", "start", "-e", os.devnull)
    system.wait_until_ready()
    until(lambda: system.records.read("honcho"), 5, "honcho is recorded")
    put_row(system)
    system.kill("honcho")
    system.start()
    assert row_is_there(system)


@pytest.mark.parametrize(
    "databases", [("AUTH", "PRODUCT"), ()], ids=["databases and store", "the store alone"]
)
def test_external_servers_replace_the_embedded_ones(
    new_system: NewSystem, engines: Engines, databases: tuple[str, ...]
) -> None:
    engines.flush_store()
    urls = {f"DATABASE_URL_{name}": engines.new_database().value for name in databases}
    system = new_system({**urls, "REDIS_URL": engines.redis_url.value})
    system.start()
    assert (system.home / "postgres").exists() is not bool(databases)
    assert is_free(port_of("postgres", system.port_base)) is bool(databases)
    assert is_free(port_of("valkey", system.port_base))
    done = system.run(DEMO)
    assert done.returncode == 0, done.stdout + done.stderr
    assert system.stop() == 0


def test_a_relative_home_lies_in_the_checkout(new_system: NewSystem, engines_only: dict[str, str]) -> None:
    system = new_system(engines_only)
    system.variables["PLAINSTACK_HOME"] = os.path.relpath(system.home, CHECKOUT)
    system.start()
    assert (system.home / "postgres").exists()
    assert system.stop() == 0
    assert system.records.alive() == {}


def test_one_external_database_leaves_the_others_embedded(
    new_system: NewSystem, engines_only: dict[str, str], engines: Engines
) -> None:
    system = new_system({**engines_only, "DATABASE_URL_AUTH": engines.new_database().value})
    system.start()
    assert not is_free(port_of("postgres", system.port_base))
    psycopg.connect(system.environment.database_url("product").value).close()


def test_the_gateways_own_file_says_where_it_listens(new_system: NewSystem, tmp_path: Path) -> None:
    elsewhere = free_port_base() + 7
    path = tmp_path / "elsewhere.toml"
    path.write_text(f'listen = "0.0.0.0:{elsewhere}"\n' + (CHECKOUT / "gateway.toml").read_text())
    system = new_system({"GATEWAY_CONFIG": str(path)})
    system.start()
    assert f"gateway http://127.0.0.1:{elsewhere}" in system.log()
    assert Client(f"http://127.0.0.1:{elsewhere}").get("/products").status == 200


def test_a_fault_in_the_gateways_file_is_one_line(new_system: NewSystem, tmp_path: Path) -> None:
    path = tmp_path / "faulty.toml"
    path.write_text("listen = 8000\n" + (CHECKOUT / "gateway.toml").read_text())
    system = new_system({"GATEWAY_CONFIG": str(path)})
    done = system.run(UP)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "faulty.toml" in done.stderr
    assert own_processes(system) == set()
