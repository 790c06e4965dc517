"""The gateway in a whole system: who is let in, as whom, and what happens when the store is away."""

import json
import secrets
import signal
import statistics
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis

from shared.auth.revocation_store import MARKER
from tests.e2e.client import Answer, Client
from tests.e2e.system import ADMIN_EMAIL, ADMIN_PASSWORD, CHEAP_PASSWORDS, CORE, System, procfile_of
from tests.waiting import until

PASSWORD = "correct horse battery staple"
LOGOUT_SECONDS = 0.05  # median, from the 204 to the refusal
REFUSED_SECONDS = 10.0  # by then even where the machine stood still
PRODUCT = {"name": "Kettle", "description": "", "price": {"amount": 24_000, "currency": "KRW"}}


class Account:
    """Somebody who has signed up."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.email = f"user-{secrets.token_hex(6)}@example.com"
        form = {"email": self.email, "password": PASSWORD, "display_name": "User"}
        answer = client.post("/auth/signup", form)
        assert answer.status == 201, answer.body
        self.user_id = answer.json["user_id"]

    def token(self) -> str:
        """A new session's access token."""
        return log_in(self.client, self.email, PASSWORD)


def log_in(client: Client, email: str, password: str) -> str:
    answer = client.post("/auth/login", {"email": email, "password": password})
    assert answer.status == 200, answer.body
    return str(answer.json["access_token"])


@pytest.fixture(scope="module")
def account(system: System) -> Account:
    return Account(system.client())


@pytest.fixture
def gateway(system: System) -> Client:
    return system.client()


def is_problem(answer: Answer, status: int) -> bool:
    """Ours, well formed, and with the id of the request."""
    assert answer.status == status, answer.body
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json["instance"] == f"urn:plainstack:request:{answer.headers['X-Request-ID']}"
    return True


# Who is let in


def test_the_token_decides_who_asks_not_the_client(gateway: Client, account: Account) -> None:
    forged = {
        "X-Authenticated-User-ID": "018f0000-0000-7000-8000-000000000000",
        "X_Authenticated_User_ID": "018f0000-0000-7000-8000-000000000000",
        "X-Authenticated-Roles": "admin",
        "X-Identity-Signature": "1:gateway:k1:0:" + "A" * 43,
    }
    answer = gateway.request("GET", "/auth/me", token=account.token(), headers=forged)
    assert (answer.status, answer.json["user_id"]) == (200, account.user_id)
    assert gateway.request("GET", "/auth/me", headers=forged).status == 401
    assert gateway.request("POST", "/products", json_body=PRODUCT, headers=forged).status == 401


def test_a_role_decides_what_may_be_done(gateway: Client, account: Account) -> None:
    assert is_problem(gateway.post("/products", PRODUCT, token=account.token()), 403)
    admin = log_in(gateway, ADMIN_EMAIL, ADMIN_PASSWORD)
    assert gateway.post("/products", PRODUCT, token=admin).status == 201


def test_without_a_token(gateway: Client) -> None:
    answer = gateway.get("/auth/me")
    assert is_problem(answer, 401)
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="plainstack"'
    assert gateway.get("/products").status == 200


def _segment(document: Any) -> str:
    return urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


def _unsigned(token: str) -> str:
    _, payload, _ = token.split(".")
    return f"{_segment({'alg': 'none', 'typ': 'at+jwt', 'kid': 'any'})}.{payload}."


def _other_signature(token: str) -> str:
    return token[:-6] + ("A" * 6 if not token.endswith("A" * 6) else "B" * 6)


def _other_user(token: str) -> str:
    header, _, signature = token.split(".")
    return f"{header}.{_segment({'sub': 'admin', 'roles': ['admin']})}.{signature}"


@pytest.mark.parametrize("target", ["/auth/me", "/products"])  # required, optional
@pytest.mark.parametrize(
    "forge", [_unsigned, _other_signature, _other_user, lambda _: "x.y.z", lambda _: "x"]
)
def test_a_forged_token(gateway: Client, account: Account, forge: Callable[[str], str], target: str) -> None:
    answer = gateway.get(target, token=forge(account.token()))
    assert is_problem(answer, 401)
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    assert answer.json["detail"] == "The access token is not valid."


def test_paths_and_methods(gateway: Client) -> None:
    assert is_problem(gateway.get("/nothing/here"), 404)
    assert is_problem(gateway.get("/productsx"), 404)
    assert is_problem(gateway.get("/products/..%2f"), 400)
    refused = gateway.request("PUT", "/products")
    assert is_problem(refused, 405)
    assert refused.headers["Allow"] == "DELETE, GET, HEAD, PATCH, POST"
    assert is_problem(gateway.request("POST", "/auth/login", body=b"x" * 70_000), 413)
    assert gateway.get("/%70roducts").status == 200


def test_services_let_nobody_in_but_the_gateway(system: System, account: Account) -> None:
    token = account.token()
    for service, target in (
        ("product", "/products"),
        ("auth", "/auth/me"),
        ("auth", "/.well-known/jwks.json"),
    ):
        direct = system.client(service)
        assert is_problem(direct.get(target, token=token), 401)
        assert direct.get("/healthz").status == 200


def test_the_services_own_answers_pass(gateway: Client) -> None:
    assert is_problem(gateway.get("/products/018f0000-0000-7000-8000-000000000000"), 404)
    assert gateway.get("/.well-known/jwks.json").json["keys"]


# Logging out


def _is_refused(gateway: Client, token: str) -> bool:
    return gateway.get("/auth/me", token=token).status == 401


def _verdict(gateway: Client, token: str) -> int:
    """What it says as soon as it can tell."""
    said: list[int] = []

    def can_tell() -> bool:
        said.append(gateway.get("/auth/me", token=token).status)
        return said[-1] != 503

    until(can_tell, 15, "a verdict")
    return said[-1]


def test_logout_bites_at_once(gateway: Client, account: Account) -> None:
    """A wait is at least one question; what that alone takes is measured beside it."""
    questions, waits = [], []
    for _ in range(11):
        token = account.token()
        asked = time.monotonic()
        assert gateway.get("/auth/me", token=token).status == 200
        questions.append(time.monotonic() - asked)
        assert gateway.post("/auth/logout", token=token).status == 204
        done = time.monotonic()
        until(partial(_is_refused, gateway, token), REFUSED_SECONDS, "a refusal")
        waits.append(time.monotonic() - done)
    assert statistics.median(waits) - statistics.median(questions) < LOGOUT_SECONDS


def test_another_session_goes_on(gateway: Client, account: Account) -> None:
    first, second = account.token(), account.token()
    assert gateway.post("/auth/logout", token=first).status == 204
    until(lambda: gateway.get("/auth/me", token=first).status == 401, REFUSED_SECONDS, "a refusal")
    answer = gateway.get("/auth/me", token=first)
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    assert gateway.get("/auth/me", token=second).status == 200


# What breaks


@pytest.fixture(scope="module")
def suffering(tmp_path_factory: pytest.TempPathFactory, made: Path) -> Iterator[System]:
    """A running system whose store is frozen, killed and emptied; every test leaves it recovered."""
    folder = tmp_path_factory.mktemp("suffering")
    settings = {**CHEAP_PASSWORDS, **procfile_of(CORE, folder), "REVOCATION_STALE_SECONDS": "5"}
    system = System(folder / "home", settings, made=made)
    try:
        system.start()
        yield system
    finally:
        system.close()


def test_a_store_that_is_away_lets_no_token_in(suffering: System) -> None:
    system = suffering
    gateway = system.client()
    account = Account(gateway)
    good, ended = account.token(), account.token()
    assert gateway.post("/auth/logout", token=ended).status == 204
    until(lambda: gateway.get("/auth/me", token=ended).status == 401, REFUSED_SECONDS, "a refusal")
    server = system.kill("valkey-server", signal.SIGSTOP)  # there, but silent
    until(lambda: gateway.get("/auth/me", token=good).status == 503, 15, "no token is let in")
    refused = gateway.get("/products", token=good)
    assert is_problem(refused, 503)
    assert int(refused.headers["Retry-After"]) >= 1
    assert gateway.get("/auth/me", token=ended).status == 503
    assert gateway.get("/products").status == 200  # nobody asks for anything of a token here
    assert system.client("gateway_admin").get("/readyz").status == 503
    system.kill("valkey-server", signal.SIGCONT)
    until(lambda: gateway.get("/auth/me", token=good).status == 200, 15, "recovery")
    assert _verdict(gateway, ended) == 401
    system.kill("valkey-server")
    system.wait_for_successor("valkey-server", server, 15)
    until(lambda: gateway.get("/auth/me", token=good).status == 200, 20, "recovery from a restart")
    assert _verdict(gateway, ended) == 401


def test_a_wiped_store_lets_no_revoked_token_in(suffering: System) -> None:
    gateway = suffering.client()
    account = Account(gateway)
    good, ended = account.token(), account.token()
    assert gateway.post("/auth/logout", token=ended).status == 204
    until(lambda: gateway.get("/auth/me", token=ended).status == 401, REFUSED_SECONDS, "a refusal")
    with _store(suffering) as store:
        store.flushall()
    former = suffering.kill("gateway.1")  # one that starts with an empty store knows nothing by itself
    suffering.wait_for_successor("gateway.1", former, 10)
    seen = set()

    def answers() -> bool:
        try:
            seen.add(gateway.get("/auth/me", token=ended).status)
            return gateway.get("/auth/me", token=good).status == 200
        except OSError:
            return False

    until(answers, 20, "recovery")
    seen.add(gateway.get("/auth/me", token=ended).status)
    assert seen <= {401, 503}


def test_a_wipe_takes_nothing_from_a_gateway_that_runs(system: System, account: Account) -> None:
    gateway = system.client()
    good, ended = account.token(), account.token()
    assert gateway.post("/auth/logout", token=ended).status == 204
    until(lambda: _is_refused(gateway, ended), REFUSED_SECONDS, "a refusal")
    seen = set()

    def is_filled_again() -> object:
        seen.add(gateway.get("/auth/me", token=ended).status)
        return store.exists(MARKER)

    with _store(system) as store:
        store.flushall()
        until(is_filled_again, 10, "the auth server writes everything again")
    assert gateway.get("/auth/me", token=good).status == 200
    assert _is_refused(gateway, ended)
    assert seen <= {401, 503}


def _store(system: System) -> redis.Redis:
    return redis.Redis.from_url(system.environment.redis_url().value)


def test_a_service_that_is_away_is_502_and_the_others_go_on(system: System) -> None:
    gateway = system.client()
    former = system.kill("product.1")
    until(lambda: gateway.get("/products").status in (200, 502), 10, "an answer")
    assert gateway.get("/.well-known/jwks.json").status == 200
    system.wait_for_successor("product.1", former, 10)
    until(lambda: gateway.get("/products").status == 200, 10, "recovery")
