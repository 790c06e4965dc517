"""Keys are rotated and revoked in a whole system, while clients use it without pause.

Two auth servers stand behind the gateway: whatever one of them has just done is known to the other.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from scripts.support.spawning import spawn
from services.auth.signing_keys import PUBLISHED_AHEAD
from shared.config import CHECKOUT
from shared.ports import port_of
from tests.e2e.client import Client
from tests.e2e.key_load import Load
from tests.e2e.system import CHEAP_PASSWORDS, CORE, System, procfile_of
from tests.waiting import until

REFUSED_SECONDS = 2.0  # from the command's end to the 401; normally milliseconds
SIGNS_SECONDS = 20.0


@pytest.fixture(scope="module")
def keys_system(tmp_path_factory: pytest.TempPathFactory, made: Path) -> Iterator[System]:
    """A system with two auth servers and cheap passwords."""
    folder = tmp_path_factory.mktemp("keys")
    settings = {**CHEAP_PASSWORDS, "GATEWAY_CONFIG": str(folder / "gateway.toml")}
    system = System(folder / "home", {**settings, **procfile_of(CORE, folder)}, made=made)
    second = f"http://127.0.0.1:{port_of('auth', system.port_base, 2)}"
    text = (CHECKOUT / "gateway.toml").read_text()
    (folder / "gateway.toml").write_text(text.replace('["${AUTH_URL}"]', f'["${{AUTH_URL}}", "{second}"]'))
    try:
        system.start()
        server = second_auth_server(system, folder / "auth.2.log")
        until(lambda: is_ready(second), SIGNS_SECONDS, "the second auth server is ready")
        yield system
        server.terminate()
        assert server.wait(SIGNS_SECONDS) == 0
    finally:
        system.close()


def second_auth_server(system: System, log: Path) -> "subprocess.Popen[bytes]":
    """As honcho's `auth=2` starts it."""
    environment = {**system.variables, "HONCHO_PROCESS_NAME": "auth.2"}
    with log.open("ab") as output:
        command = [sys.executable, str(CHECKOUT / "auth_server.py")]
        return spawn(command, death_signal=signal.SIGTERM, environment=environment, output=output)


def is_ready(origin: str) -> bool:
    try:
        return Client(origin).get("/readyz").status == 200
    except OSError:
        return False


class Keys:
    """The operator at the command line, and what everybody can see."""

    def __init__(self, system: System) -> None:
        self._system = system

    def run(self, *words: str, **settings: str) -> dict[str, str]:
        """The state of each key, by its id, as the command shows them at its end."""
        done = self._system.command("admin", "keys", *words, **settings)
        assert (done.returncode, done.stderr) == (0, ""), done
        rows = done.stdout[done.stdout.index("KEY ") :].splitlines()[1:]
        return {row[0]: row[2] for row in map(str.split, rows)}

    def signing(self) -> str:
        """The key that signs now."""
        return only("signing", self.run("list"))

    def published(self) -> set[str]:
        return {key["kid"] for key in self._system.client().get("/.well-known/jwks.json").json["keys"]}

    def let_time_pass(self) -> None:
        """As if everything had been done so long ago as a key is published before it signs."""
        columns = ("signs_from", "signs_until", "published_until")
        ago = f"interval '{PUBLISHED_AHEAD.total_seconds()} s'"
        changes = ", ".join(f"{column} = {column} - {ago}" for column in columns)
        with psycopg.connect(
            self._system.environment.database_url("auth").value, autocommit=True
        ) as database:
            database.execute(f"UPDATE signing_keys SET {changes}".encode())


def only(state: str, keys: dict[str, str]) -> str:
    """The one key in this state."""
    (found,) = [key_id for key_id, its in keys.items() if its == state]
    return found


@pytest.fixture
def keys(keys_system: System) -> Keys:
    return Keys(keys_system)


def assert_nothing_failed(load: Load) -> None:
    failed = [call for call in load.calls if call.status != 200]
    assert not failed, failed[:5]


def test_a_rotation_fails_no_request(keys_system: System, keys: Keys) -> None:
    old = keys.signing()
    with Load(keys_system.client) as load:
        load.wait_for("refresh", lambda call: call.key_id == old)
        new = only("announced", keys.run("rotate"))
        assert keys.published() >= {old, new}
        announced = time.monotonic()
        load.wait_for("login", lambda call: call.began > announced and call.key_id == old)
        keys.let_time_pass()
        load.wait_for("refresh", lambda call: call.key_id == new)
        load.wait_for("/products", lambda call: call.key_id == new)
        changed = time.monotonic()
        load.wait_for("login", lambda call: call.began > changed)
        assert all(call.key_id == new for call in load.of("login") if call.began > changed)
    assert_nothing_failed(load)
    assert keys.published() >= {old, new}
    states = keys.run("list")
    assert (states[old], states[new]) == ("retiring", "signing")


def test_a_rotation_in_haste_fails_no_request_either(keys_system: System, keys: Keys) -> None:
    old = keys.signing()
    with Load(keys_system.client) as load:
        load.wait_for("refresh", lambda call: call.key_id == old)
        new = only("signing", keys.run("rotate", "--now"))
        changed = time.monotonic()
        assert new != old
        load.wait_for("login", lambda call: call.began > changed)
        load.wait_for("/products", lambda call: call.key_id == new, 20)
    assert_nothing_failed(load)
    assert all(call.key_id == new for call in load.of("login") if call.began > changed)
    assert keys.published() >= {old, new}


def test_a_revocation_ends_the_old_tokens_and_nothing_else(keys_system: System, keys: Keys) -> None:
    old = keys.signing()
    with Load(keys_system.client) as load:
        load.wait_for("/products", lambda call: call.key_id == old, 20)
        keys.run("revoke", "--", old)
        revoked = time.monotonic()
        load.wait_for("/products", lambda call: call.asked_for > revoked, 20)
        load.wait_for("refresh", lambda call: call.asked_for > revoked)
    assert {call.status for call in load.of("login")} == {200}
    assert {call.status for call in load.calls} <= {200, 401}
    assert all(call.status == 200 for call in load.calls if call.asked_for > revoked)
    late = [call for call in load.calls if call.key_id == old and call.began > revoked + REFUSED_SECONDS]
    assert {call.status for call in late} <= {401}
    assert all(call.key_id != old for call in load.of("login") if call.began > revoked)
    assert old not in keys.published()
    assert keys.run("list")[old] == "revoked"


def test_a_token_of_a_revoked_key_is_refused_whether_seen_before_or_not(
    keys_system: System, keys: Keys
) -> None:
    """The gateway remembers tokens that it has verified; what it remembers does not count any more."""
    gateway = keys_system.client()
    form = {"email": "late@example.com", "password": "correct horse battery staple"}
    assert gateway.post("/auth/signup", {**form, "display_name": "Late"}).status == 201
    seen, unseen = (gateway.post("/auth/login", form).json for _ in range(2))
    assert gateway.get("/auth/me", token=seen["access_token"]).status == 200
    keys.run("revoke", "--", keys.signing())
    until(
        lambda: gateway.get("/auth/me", token=seen["access_token"]).status == 401, SIGNS_SECONDS, "a refusal"
    )
    for tokens in (seen, unseen):
        refused = gateway.get("/auth/me", token=tokens["access_token"])
        assert refused.status == 401
        assert 'error="invalid_token"' in refused.headers["WWW-Authenticate"]
        refresh = {"refresh_token": tokens["refresh_token"]}
        assert gateway.post("/auth/refresh", refresh).status == 401
    fresh = gateway.post("/auth/login", form).json
    assert gateway.get("/auth/me", token=fresh["access_token"]).status == 200


def test_a_rotation_in_haste_changes_the_algorithm(keys_system: System, keys: Keys) -> None:
    """Ahead of the auth servers' own setting, which they follow again with the key that they announce now."""
    new = only("signing", keys.run("rotate", "--now", SIGNING_ALGORITHM="RS256"))
    with Load(keys_system.client) as load:
        load.wait_for("/products", lambda call: call.key_id == new, 20)
    assert_nothing_failed(load)
    assert "announced" in keys.run("list").values()
