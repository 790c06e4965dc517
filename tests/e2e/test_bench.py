"""The benchmarks run to their end. What they find is for whoever runs them on a quiet machine."""

import os
import subprocess

import pytest

from shared.config import CHECKOUT

SECONDS = 120


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["logins", "--seconds", "1", "--clients", "3"], ("logins/s", "`/auth/me`", "gateway")),
        (["guessing", "--tries", "2"], ("2 of 401", "2 of 429", "known: the two distributions overlap")),
    ],
    ids=["logins", "guessing"],
)
def test_it_prints_its_tables(arguments: list[str], found: tuple[str, ...]) -> None:
    done = subprocess.run(
        ["scripts/bench", *arguments],
        cwd=CHECKOUT,
        env={**os.environ, "BCRYPT_COST": "6"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [each for each in found if each not in done.stdout] == [], done.stdout
