"""Clients, introspection, revocation, metadata and challenges, through the gateway of a whole system."""

import base64
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from tests.e2e.client import Answer, Client
from tests.e2e.system import System
from tests.waiting import until

PASSWORD = "correct horse battery staple"
REVOCATION_SECONDS = 10.0  # from the answer to the refusal; normally a few milliseconds


@dataclass(frozen=True)
class ResourceServer:
    """A client that the operator has added."""

    gateway: Client
    client_id: str
    client_secret: str

    def by_basic(self, target: str, **form: str) -> Answer:
        return self._post(target, form, {"Authorization": f"Basic {self._joined()}"})

    def by_body(self, target: str, **form: str) -> Answer:
        own = {"client_id": self.client_id, "client_secret": self.client_secret}
        return self._post(target, {**form, **own}, {})

    def _joined(self) -> str:
        return base64.b64encode(f"{self.client_id}:{self.client_secret}".encode()).decode()

    def _post(self, target: str, form: dict[str, str], headers: dict[str, str]) -> Answer:
        fields = {"Content-Type": "application/x-www-form-urlencoded", **headers}
        return self.gateway.request("POST", target, body=urlencode(form).encode(), headers=fields)


@pytest.fixture(scope="module")
def gateway(system: System) -> Client:
    return system.client()


@pytest.fixture(scope="module")
def email(gateway: Client) -> str:
    """Of an account."""
    address = f"user-{secrets.token_hex(6)}@example.com"
    form = {"email": address, "password": PASSWORD, "display_name": "User"}
    assert gateway.post("/auth/signup", form).status == 201
    return address


@pytest.fixture
def tokens(gateway: Client, email: str) -> Any:
    """What a login answers."""
    answer = gateway.post("/auth/login", {"email": email, "password": PASSWORD})
    assert answer.status == 200, answer.body
    return answer.json


@pytest.fixture(scope="module")
def warehouse(system: System) -> Iterator[ResourceServer]:
    """As the operator adds it; and removes it, after which nobody knows it."""
    added = system.command("admin", "clients", "add", "Warehouse")
    assert added.returncode == 0, added.stderr
    shown = dict(line.split() for line in added.stdout.splitlines())
    client = ResourceServer(system.client(), shown["client_id"], shown["client_secret"])
    assert client.client_id in system.command("admin", "clients", "list").stdout
    yield client
    assert system.command("admin", "clients", "remove", client.client_id).returncode == 0
    assert client.by_basic("/auth/introspect", token="x").status == 401
    assert client.client_id not in system.command("admin", "clients", "list").stdout


def test_introspection_by_basic_and_by_body(warehouse: ResourceServer, tokens: Any, email: str) -> None:
    for ask in (warehouse.by_basic, warehouse.by_body):
        answer = ask("/auth/introspect", token=tokens["access_token"])
        assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
        assert (answer.json["active"], answer.json["username"]) == (True, email)
        assert answer.json["sid"] == tokens["session_id"]
        assert ask("/auth/introspect", token="x").json == {"active": False}


def test_a_revoked_access_token_is_refused_and_the_session_goes_on(
    gateway: Client, warehouse: ResourceServer, tokens: Any
) -> None:
    token = tokens["access_token"]
    assert gateway.get("/auth/me", token=token).status == 200
    answer = warehouse.by_basic("/auth/revoke", token=token, token_type_hint="access_token")
    assert (answer.status, answer.body) == (200, b"")
    until(lambda: gateway.get("/auth/me", token=token).status == 401, REVOCATION_SECONDS, "a refusal")
    assert 'error="invalid_token"' in gateway.get("/auth/me", token=token).headers["WWW-Authenticate"]
    renewed = gateway.post("/auth/refresh", {"refresh_token": tokens["refresh_token"]})
    assert gateway.get("/auth/me", token=renewed.json["access_token"]).status == 200


def test_a_revoked_refresh_token_ends_the_session(
    gateway: Client, warehouse: ResourceServer, tokens: Any
) -> None:
    assert warehouse.by_body("/auth/revoke", token=tokens["refresh_token"]).status == 200
    assert gateway.post("/auth/refresh", {"refresh_token": tokens["refresh_token"]}).status == 401
    token = tokens["access_token"]
    until(lambda: gateway.get("/auth/me", token=token).status == 401, REVOCATION_SECONDS, "a refusal")
    assert warehouse.by_basic("/auth/introspect", token=token).json == {"active": False}


def test_metadata_leads_to_the_endpoints(gateway: Client, warehouse: ResourceServer) -> None:
    metadata = gateway.get("/.well-known/oauth-authorization-server")
    keys = gateway.get(urlsplit(metadata.json["jwks_uri"]).path)
    for answer in (metadata, keys):
        assert answer.status == 200
        assert "max-age" in answer.headers["Cache-Control"]
    for name in ("introspection_endpoint", "revocation_endpoint"):
        assert warehouse.by_basic(urlsplit(metadata.json[name]).path, token="x").status == 200


@pytest.mark.parametrize("target", ["/auth/introspect", "/auth/revoke"])
def test_strangers_are_asked_for_a_clients_credentials(gateway: Client, tokens: Any, target: str) -> None:
    stranger = ResourceServer(gateway, "nobody", "nothing")
    answers = [
        stranger.by_basic(target, token="x"),
        stranger.by_body(target, token="x"),
        gateway.request("POST", target),
        gateway.request("POST", target, token=tokens["access_token"]),  # a user is no client
    ]
    for answer in answers:
        assert (answer.status, answer.json["error"]) == (401, "invalid_client")
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.headers["WWW-Authenticate"] == 'Basic realm="plainstack"'


def test_every_other_401_asks_for_a_token(system: System, gateway: Client, email: str) -> None:
    wrong = {"email": email, "password": "wrong password"}
    answers = [
        gateway.post("/auth/login", wrong),
        gateway.post("/auth/refresh", {"refresh_token": "x"}),
        gateway.get("/auth/me"),
        gateway.get("/auth/me", token="x"),
        gateway.get("/products", token="x"),
        gateway.request("GET", "/auth/me", headers={"Authorization": "Basic eDp5"}),
        gateway.post("/products", {}),
        gateway.post("/auth/logout"),
        gateway.post("/auth/password", {}),
        gateway.get("/auth/sessions"),
        gateway.request("DELETE", "/auth/sessions/x"),
        gateway.post("/auth/totp"),
        gateway.post("/auth/totp/confirm", {}),
        gateway.request("DELETE", "/auth/totp"),
        system.client("auth").get("/auth/me"),  # past the gateway: nobody has signed for it
        system.client("product").get("/products"),
    ]
    for answer in answers:
        assert answer.status == 401, answer.body
        assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="plainstack"')


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/auth/password"),
        ("POST", "/auth/sessions"),
        ("GET", "/auth/totp"),
        ("GET", "/auth/introspect"),
        ("GET", "/auth/revoke"),
    ],
)
def test_methods_that_are_not_offered(gateway: Client, method: str, target: str) -> None:
    assert gateway.request(method, target).status == 405
