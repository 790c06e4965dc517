"""Sessions through the gateway: a user sees them all, and throws out the one that is not theirs."""

import secrets

import pytest

from tests.e2e.client import Answer, Client
from tests.e2e.system import System
from tests.waiting import until

PASSWORD = "correct horse battery staple"
REVOCATION_SECONDS = 10.0  # far more than it takes; test_gateway.py measures it


@pytest.fixture
def gateway(system: System) -> Client:
    return system.client()


@pytest.fixture
def email(gateway: Client) -> str:
    """Of somebody who has signed up."""
    email = f"user-{secrets.token_hex(6)}@example.com"
    form = {"email": email, "password": PASSWORD, "display_name": "User"}
    assert gateway.post("/auth/signup", form).status == 201
    return email


def log_in(gateway: Client, email: str, device: str) -> str:
    """The access token of a new session."""
    form = {"email": email, "password": PASSWORD}
    answer = gateway.request("POST", "/auth/login", json_body=form, headers={"User-Agent": device})
    assert answer.status == 200, answer.body
    return str(answer.json["access_token"])


def end(gateway: Client, session_id: str, token: str) -> Answer:
    return gateway.request("DELETE", f"/auth/sessions/{session_id}", token=token)


def test_a_user_ends_a_session_of_another_device(gateway: Client, email: str) -> None:
    laptop, phone = log_in(gateway, email, "laptop"), log_in(gateway, email, "phone")
    listed = gateway.get("/auth/sessions", token=laptop)
    assert (listed.status, listed.headers["Cache-Control"]) == (200, "no-store")
    seen = [(item["device"], item["address"], item["current"]) for item in listed.json["items"]]
    assert seen == [("phone", "127.0.0.1", False), ("laptop", "127.0.0.1", True)]

    session_id = listed.json["items"][0]["session_id"]
    assert end(gateway, session_id, laptop).status == 204
    until(
        lambda: gateway.get("/auth/me", token=phone).status == 401,
        REVOCATION_SECONDS,
        "the phone's token is refused",
    )
    assert gateway.get("/auth/me", token=laptop).status == 200
    assert [item["device"] for item in gateway.get("/auth/sessions", token=laptop).json["items"]] == [
        "laptop"
    ]
    assert end(gateway, session_id, laptop).status == 204


def test_a_session_gets_tickets_for_websockets_until_it_ends(gateway: Client, email: str) -> None:
    token = log_in(gateway, email, "laptop")
    answer = gateway.request("POST", "/ws/tickets", token=token)
    assert (answer.status, answer.headers["Cache-Control"]) == (201, "no-store"), answer.body
    assert answer.json["url"].endswith(f"/ws?ticket={answer.json['ticket']}")
    assert gateway.post("/auth/logout", token=token).status == 204
    assert gateway.request("POST", "/ws/tickets", token=token).status == 401
    assert gateway.request("POST", "/ws/tickets").status == 401


def test_an_operator_locks_an_account(system: System, gateway: Client, email: str) -> None:
    token = log_in(gateway, email, "laptop")
    locked = system.command("admin", "users", "lock", email, "--reason", "reported stolen")
    assert (locked.returncode, locked.stderr) == (0, ""), locked.stdout
    until(
        lambda: gateway.get("/auth/me", token=token).status == 401,
        REVOCATION_SECONDS,
        "the locked user's token is refused",
    )
    assert gateway.post("/auth/login", {"email": email, "password": PASSWORD}).status == 401
    assert system.command("admin", "users", "unlock", email).returncode == 0
    assert gateway.get("/auth/me", token=log_in(gateway, email, "laptop")).status == 200
    written = system.command("admin", "audit", "--user", email).stdout
    events = [line.split()[1] for line in written.splitlines()[1:]]
    assert [event for event in events if event.startswith("account")] == [
        "account-locked",
        "account-unlocked",
    ]
    assert "reported stolen" in written


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_nobody_sees_or_ends_sessions_without_a_token(gateway: Client, method: str) -> None:
    target = "/auth/sessions" + ("/018f0000-0000-7000-8000-000000000000" if method == "DELETE" else "")
    assert gateway.request(method, target).status == 401
