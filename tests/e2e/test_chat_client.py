"""`./scripts/chat` on a running system: what one types, another reads."""

import secrets
from collections.abc import Mapping

import pytest

from tests.e2e.system import Finished, System
from tests.scripts.forked import run_module

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def people(system: System) -> Mapping[str, str]:
    """Two e-mail addresses, by name."""
    emails = {name: f"{name.lower()}-{secrets.token_hex(4)}@example.com" for name in ("Ada", "Bob")}
    for name, email in emails.items():
        account = {"email": email, "password": PASSWORD, "display_name": name}
        assert system.client().request("POST", "/auth/signup", json_body=account).status == 201
    return emails


def _chat(system: System, email: str, *arguments: str, typed: str = "", password: str = PASSWORD) -> Finished:
    variables = {**system.variables, "CHAT_PASSWORD": password}
    return run_module("scripts.support.chat", ["--email", email, *arguments], variables, typed)


def test_what_one_types_another_reads_and_nobody_sees_a_secret(
    system: System, people: Mapping[str, str]
) -> None:
    room = f"tea-{secrets.token_hex(4)}"
    said = _chat(system, people["Ada"], "--room", room, "--create", typed="Tea?\nWith milk?\n")
    assert said.returncode == 0, said.stderr
    assert "[1] Ada: Tea?\n[2] Ada: With milk?\n" in said.stdout
    answered = _chat(system, people["Bob"], "--room", room, "--after", "1", typed="Gladly.")
    assert answered.returncode == 0, answered.stderr
    assert [line for line in answered.stdout.splitlines() if line.startswith("[")] == [
        "[2] Ada: With milk?",
        "[3] Bob: Gladly.",
    ]
    assert room in _chat(system, people["Bob"]).stdout, "it is in the list"
    for done in (said, answered):
        assert not any(word in done.stdout + done.stderr for word in ("eyJ", "ticket", PASSWORD))


def test_what_is_wrong_is_one_line(system: System, people: Mapping[str, str]) -> None:
    unknown = _chat(system, people["Ada"], "--room", "nowhere")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert unknown.stderr == "chat: you know of no room of that name; --create makes one\n"
    stranger = _chat(system, people["Ada"], "--room", "nowhere", password="wrong password")
    assert (stranger.returncode, stranger.stderr.count("\n")) == (1, 1)
