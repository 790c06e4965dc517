"""The demo tells the truth about a running system, and says so when there is none."""

import subprocess
from collections.abc import Callable

from shared.config import CHECKOUT
from tests.e2e.system import System


def run_demo(system: System, *without: str) -> subprocess.CompletedProcess[str]:
    variables = {key: value for key, value in system.variables.items() if key not in without}
    return subprocess.run(
        ["./scripts/demo"],
        cwd=CHECKOUT,
        env=variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_everything_goes_as_it_should(system: System) -> None:
    done = run_demo(system)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("demo: everything went as it should\n")


def test_without_an_admins_password_it_makes_an_admin(system: System) -> None:
    done = run_demo(system, "ADMIN_EMAIL", "ADMIN_PASSWORD")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "./scripts/admin create-admin demo-admin-" in done.stdout


def test_it_shows_no_token_and_no_password(system: System) -> None:
    shown = run_demo(system).stdout
    assert "eyJ" in shown
    assert max(map(len, shown.split())) < 120, "tokens are shortened"
    assert system.variables["ADMIN_PASSWORD"] not in shown


def test_nobody_at_home_is_a_surprise(new_system: Callable[..., System]) -> None:
    done = run_demo(new_system())
    assert done.returncode == 1
    assert done.stderr.startswith("\ndemo: a surprise: http://127.0.0.1:")
