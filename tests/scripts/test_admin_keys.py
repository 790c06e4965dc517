"""scripts/admin keys, on a real database."""

import os
import subprocess
import sys
from collections.abc import Callable

import psycopg
import pytest

from shared.config import CHECKOUT, Secret
from tests.engines import Engines

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def database_url(engines: Engines) -> Secret:
    return engines.new_database()


@pytest.fixture
def keys(engines: Engines, database_url: Secret) -> Run:
    """Runs `scripts/admin keys` with the words that it is given."""
    own = {"DATABASE_URL_AUTH": database_url.value, "AUTH_KEY_ENCRYPTION_KEY": "A" * 43}
    command = [sys.executable, "-m", "scripts.support.admin", "keys"]

    def run(*words: str, **settings: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*command, *words],
            env={**os.environ, **engines.settings, **own, **settings},
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def rows(answer: "subprocess.CompletedProcess[str]") -> list[list[str]]:
    """The table at the end."""
    assert (answer.returncode, answer.stderr) == (0, "")
    heads, *lines = answer.stdout[answer.stdout.index("KEY ") :].splitlines()
    assert heads.split()[:3] == ["KEY", "ALGORITHM", "STATE"]
    return [line.split() for line in lines]


def test_a_keys_life_at_the_command_line(keys: Run) -> None:
    assert rows(keys("list")) == []
    ((first, algorithm, state, *_),) = rows(keys("rotate", "--now"))
    assert (algorithm, state) == ("ES256", "signing")

    rotated = keys("rotate", SIGNING_ALGORITHM="EdDSA")
    assert "published now and signs from 20" in rotated.stdout
    (_, _, _, _, signs_until), (second, algorithm, state, signs_from) = rows(rotated)
    assert (algorithm, state, signs_from) == ("EdDSA", "announced", signs_until)

    assert [row[2] for row in rows(keys("rotate", "--now"))] == ["retiring", "signing", "retiring"]
    assert [row[0] for row in rows(keys())] == [row[0] for row in rows(keys("list"))]

    revoked = keys("revoke", "--", first)
    assert f"{first}, which was retiring, is revoked" in revoked.stdout
    states = {row[0]: row[2] for row in rows(revoked)}
    assert (states[first], states[second]) == ("revoked", "retiring")


def test_revoking_the_key_that_signs_makes_another(keys: Run) -> None:
    ((first, *_),) = rows(keys("rotate", "--now"))
    assert sorted(row[2] for row in rows(keys("revoke", "--", first))) == ["revoked", "signing"]


def test_a_key_of_another_algorithm_stands_by(keys: Run, database_url: Secret) -> None:
    """As after a change of SIGNING_ALGORITHM. `list` names the one that is signed with under this setting."""
    rows(keys("rotate", "--now"))
    rows(keys("rotate", "--now", SIGNING_ALGORITHM="EdDSA"))
    with psycopg.connect(database_url.value, autocommit=True) as database:
        database.execute("UPDATE signing_keys SET signs_until = NULL, published_until = NULL")
    assert [row[1:3] for row in rows(keys("list"))] == [["ES256", "signing"], ["EdDSA", "able"]]
    listed = rows(keys("list", SIGNING_ALGORITHM="EdDSA"))
    assert [row[1:3] for row in listed] == [["ES256", "able"], ["EdDSA", "signing"]]


def test_what_cannot_be_done_is_one_line(keys: Run) -> None:
    ((first, *_),) = rows(keys("rotate", "--now"))
    rows(keys("revoke", "--", first))
    for answer, said in (
        (keys("revoke", "--", first), "revoked already, at 20"),
        (keys("revoke", "--", "unknown"), "no signing key of this id"),
        (keys("rotate", AUTH_KEY_ENCRYPTION_KEY="B" * 42 + "A"), "AUTH_KEY_ENCRYPTION_KEY does not open"),
    ):
        assert (answer.returncode, answer.stdout) == (1, "")
        assert answer.stderr.count("\n") == 1
        assert said in answer.stderr


def test_help_tells_what_haste_costs(keys: Run) -> None:
    text = " ".join(keys("rotate", "--help").stdout.split())
    assert "may refuse the new tokens for up to 5 minutes" in text
    assert "signs 6 minutes later" in text
    assert "[--] KEY" in keys("revoke", "--help").stdout


@pytest.mark.parametrize("words", [(), ("rotate",), ("revoke", "x")])
def test_a_database_that_is_away_is_one_line(keys: Run, words: tuple[str, ...]) -> None:
    answer = keys(*words, DATABASE_URL_AUTH="postgresql://auth:x@127.0.0.1:1/auth")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr.startswith("admin: the database of auth cannot be used")
