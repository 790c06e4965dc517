"""What `./scripts/test` makes of its arguments."""

import subprocess
import sys
from pathlib import Path

from scripts.support.run_tests import environment_of_tests, pytest_arguments
from shared.config import CHECKOUT

TWO_TESTS = """
import pytest

@pytest.mark.races
def test_two_at_once():
    pass

def test_alone():
    raise AssertionError("this is no race")
"""


def test_the_whole_suite_runs_three_tests_at_a_time() -> None:
    assert pytest_arguments([]) == ["-n", "3", "--dist", "loadfile", "--no-loadscope-reorder"]


def test_what_is_compiled_is_kept_whatever_the_shell_says(tmp_path: Path) -> None:
    variables = environment_of_tests({"PYTHONDONTWRITEBYTECODE": "1", "PATH": "/bin"}, tmp_path, 20_000)
    assert variables == {"PATH": "/bin", "PLAINSTACK_HOME": str(tmp_path), "PORT_BASE": "20000"}


def test_races_come_first_or_are_pytests_own_business() -> None:
    assert pytest_arguments(["races"]) == ["-m", "races", "-v"]
    assert pytest_arguments(["races", "tests/shared", "-x"]) == ["-m", "races", "-v", "tests/shared", "-x"]
    for others in (["tests/shared"], ["-k", "races"]):
        assert pytest_arguments(others) == others


def test_only_the_races_run_and_each_is_named(tmp_path: Path) -> None:
    file = tmp_path / "test_example.py"
    file.write_text(TWO_TESTS)
    command = [sys.executable, "-m", "scripts.support.run_tests", "races", "-c", "pyproject.toml", str(file)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "::test_two_at_once PASSED" in done.stdout
    assert "test_alone" not in done.stdout
