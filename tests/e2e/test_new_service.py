"""`./scripts/new-service` writes a service that is tested, starts and answers, untouched by any hand."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.support.run_tests import isolated_environment
from shared.config import CHECKOUT
from tests.e2e.system import ADMIN_EMAIL, ADMIN_PASSWORD, CHEAP_PASSWORDS, Finished, System, procfile_of

NAME = "recommendation"
OFFSET = 70
NOT_COPIED = shutil.ignore_patterns(
    ".*", "*.egg-info", "*.pyc.*"
)  # what is compiled is copied, but for drafts
AROUND_IT = ("postgres", "valkey", "auth", NAME, "gateway")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this one, with a new service in it."""
    copy = tmp_path_factory.mktemp("copy") / "checkout"
    shutil.copytree(CHECKOUT, copy, ignore=NOT_COPIED)
    (copy / ".venv").symlink_to(CHECKOUT / ".venv")
    done = run(copy, "./scripts/new-service", NAME)
    assert done.returncode == 0, done.stderr
    return copy


def run(folder: Path, *command: str) -> Finished:
    variables = isolated_environment(os.environ, folder / ".plainstack", 20_000)
    return subprocess.run(
        command, cwd=folder, env=variables, capture_output=True, text=True, timeout=120, check=False
    )


def python(folder: Path, *arguments: str) -> Finished:
    return run(folder, ".venv/bin/python", "-m", *arguments)


def test_its_tests_pass(checkout: Path) -> None:
    done = python(checkout, "pytest", "-q", "-p", "no:cacheprovider", f"tests/services/{NAME}")
    assert done.returncode == 0, done.stdout


def test_it_keeps_to_the_map_and_the_style(checkout: Path) -> None:
    map_ = python(
        checkout, "pytest", "-q", "-p", "no:cacheprovider", "tests/test_architecture.py", "-k", NAME
    )
    assert map_.returncode == 0, map_.stdout
    for style in (["check", "--no-cache"], ["format", "--no-cache", "--check"]):
        done = python(
            checkout, "ruff", *style, f"services/{NAME}", f"tests/services/{NAME}", "shared/ports.py"
        )
        assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def system(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """What the copy starts; of the other services only those that are needed."""
    folder = tmp_path_factory.mktemp("system")
    settings = {**CHEAP_PASSWORDS, **procfile_of(AROUND_IT, folder, checkout)}
    started = System(folder / "home", settings, checkout)
    try:
        started.start()
        yield started
    finally:
        started.close()


def test_it_starts_and_answers_through_the_gateway(system: System) -> None:
    assert f"{NAME} http://127.0.0.1:{system.port_base + OFFSET}" in system.log()
    gateway = system.client()
    assert gateway.get(f"/{NAME}").json == {"items": [], "next": None}
    assert gateway.post(f"/{NAME}", {"title": "Good"}).status == 401
    login = gateway.post("/auth/login", {"email": ADMIN_EMAIL, "password": ADMIN_PASSWORD})
    made = gateway.post(f"/{NAME}", {"title": "Good"}, token=login.json["access_token"])
    assert made.status == 201
    assert gateway.get(made.headers["Location"]).json == made.json


@pytest.mark.parametrize(
    "name", ["product", "gateway", NAME, "Review", "orders", "class", "user", "", "a_b", "no7", "public"]
)
def test_a_name_that_cannot_be_is_one_line(checkout: Path, name: str) -> None:
    done = run(checkout, "./scripts/new-service", name)
    assert done.returncode == 1
    assert done.stderr.startswith("new-service: ")
    assert done.stderr.count("\n") == 1


def test_what_was_there_stays_as_it_was(checkout: Path) -> None:
    before, after = ((folder / "gateway.toml").read_text() for folder in (CHECKOUT, checkout))
    assert set(before.splitlines()) <= set(after.splitlines())
    done = run(checkout, ".venv/bin/python", "gateway.py", "--check")
    assert done.returncode == 0, done.stderr
