"""`./scripts/rpc`: an operator asks a service what other services ask."""

import json

import pytest

from tests.e2e.system import System

UNKNOWN = "7bf51d0d-5ad3-4291-bac8-14694dff34d2"


def test_it_shows_what_there_is(system: System) -> None:
    done = system.run("./scripts/rpc", "inventory")
    assert done.returncode == 0, done.stderr
    assert "Reserve {reservation_id, items} → ReserveResponse" in done.stdout.splitlines()


def test_it_calls(system: System) -> None:
    done = system.command("rpc", "inventory", "Commit", json.dumps({"reservation_id": UNKNOWN}))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"outcome": "COMMIT_OUTCOME_NOT_RESERVED"}


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["auth"], 2, "answers no gRPC"),
        (["order", "Reserve"], 2, "GetOrder"),
        (["order", "GetOrder", "{}", "--user", "€"], 2, "--user"),
        (["order", "GetOrder", "{}", "--role", "admin"], 2, "--user"),
        (["order", "GetOrder", "{}", "--user", UNKNOWN, "--role", "a,b"], 2, "--role"),
        (["order", "GetOrder", "{"], 2, "GetOrderRequest"),
        (["order", "GetOrder", '{"colour":"red"}'], 2, "colour"),
        (["order", "GetOrder", '{"order_id":"7"}'], 1, "order_id: Must be a UUID"),
        (["order", "GetOrder", json.dumps({"order_id": UNKNOWN})], 1, "not-found"),
    ],
)
def test_what_goes_wrong_is_one_line(system: System, arguments: list[str], status: int, says: str) -> None:
    done = system.command("rpc", *arguments)
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.startswith("rpc: ")
    assert done.stderr.count("\n") == 1
    assert says in done.stderr
