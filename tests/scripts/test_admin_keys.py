"""scripts/admin keys, on a real database."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import psycopg
import pytest

from shared.config import Secret
from tests.scripts.conftest import Admin, Run


@pytest.fixture
def keys(admin: Admin) -> Run:
    """Runs `scripts/admin keys` with the words that it is given."""
    return partial(admin.run, "keys")


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

    assert [row[2] for row in rows(keys("rotate", "--now"))] == ["retiring", "signing", "superseded"]
    assert [row[0] for row in rows(keys())] == [row[0] for row in rows(keys("list"))]

    revoked = keys("revoke", "--", first)
    assert f"{first}, which was retiring, is revoked" in revoked.stdout
    states = {row[0]: row[2] for row in rows(revoked)}
    assert (states[first], states[second]) == ("revoked", "superseded")


def test_revoking_the_key_that_signs_makes_another(keys: Run) -> None:
    ((first, *_),) = rows(keys("rotate", "--now"))
    assert sorted(row[2] for row in rows(keys("revoke", "--", first))) == ["revoked", "signing"]


def test_a_rotation_keeps_the_algorithm_unless_told_otherwise(keys: Run) -> None:
    """What SIGNING_ALGORITHM the auth servers have, the operator's shell need not know."""
    rows(keys("rotate", "--now", "--algorithm", "EdDSA"))
    assert [row[1] for row in rows(keys("rotate", "--now"))] == ["EdDSA", "EdDSA"]
    (signing,) = [row[0] for row in rows(keys("list")) if row[2] == "signing"]
    algorithms = {row[2]: row[1] for row in rows(keys("revoke", "--", signing))}
    assert algorithms["signing"] == "EdDSA"
    refused = keys("rotate", "--algorithm", "RS256", TOKEN_ALGORITHMS="ES256,EdDSA")
    assert (refused.returncode, refused.stderr) == (1, "admin: RS256 is not one of TOKEN_ALGORITHMS\n")


def test_a_key_of_another_algorithm_stands_by(keys: Run, database_url: Secret) -> None:
    """As after a change of SIGNING_ALGORITHM: which of them signs, their setting tells, not ours."""
    rows(keys("rotate", "--now"))
    rows(keys("rotate", "--now", SIGNING_ALGORITHM="EdDSA"))
    with psycopg.connect(database_url.value, autocommit=True) as database:
        database.execute("UPDATE signing_keys SET signs_until = NULL, published_until = NULL")
    listed = keys("list")
    assert [row[1:3] for row in rows(listed)[:2]] == [["ES256", "signing"], ["EdDSA", "signing"]]
    assert "takes the newest of its SIGNING_ALGORITHM" in listed.stdout


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


def test_a_database_that_is_away_is_one_line(keys: Run) -> None:
    """Which a command waits for, for some seconds: all at once, then."""
    away = partial(keys, DATABASE_URL_AUTH="postgresql://auth:x@127.0.0.1:1/auth")
    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(lambda words: away(*words), [(), ("rotate",), ("revoke", "x")]))
    for answer in answers:
        assert (answer.returncode, answer.stdout) == (1, "")
        assert answer.stderr.startswith("admin: the database of auth cannot be used")
