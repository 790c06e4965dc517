"""The demo tells the truth about a running system, and says so when there is none."""

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from shared.config import CHECKOUT, LOOPBACK
from tests.e2e.lone_gateway import LoneGateway
from tests.e2e.system import Finished, System

DEMO = "./scripts/demo"
SURPRISE = "\ndemo: a surprise: "


@pytest.fixture(scope="module")
def played(system: System) -> Finished:
    """A demo that has come to its end."""
    return system.run(DEMO)


def test_everything_goes_as_it_should(played: Finished) -> None:
    assert played.returncode == 0, played.stdout + played.stderr
    assert played.stdout.endswith("demo: everything went as it should\n")


def test_without_an_admins_password_it_makes_an_admin(system: System) -> None:
    done = system.run(DEMO, without=("ADMIN_EMAIL", "ADMIN_PASSWORD"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "./scripts/admin create-admin demo-admin-" in done.stdout


def test_it_shows_no_token_no_ticket_and_no_password(system: System, played: Finished) -> None:
    assert "eyJ" in played.stdout
    assert max(map(len, played.stdout.split())) < 120, "tokens are shortened"
    assert "ticket=…" in played.stdout
    assert not re.search(r"ticket=\w|ticket\": \"\w", played.stdout)
    assert system.variables["ADMIN_PASSWORD"] not in played.stdout


def test_nobody_at_home_is_a_surprise(new_system: Callable[..., System]) -> None:
    done = new_system().run(DEMO)
    assert done.returncode == 1
    assert done.stderr.startswith(f"{SURPRISE}http://127.0.0.1:")


def test_another_status_is_a_surprise(system: System) -> None:
    done = system.run(DEMO, ADMIN_PASSWORD="not the admin's password")
    assert done.returncode == 1
    assert done.stderr == f"{SURPRISE}expected 200, got 401\n"


class Catalogue(BaseHTTPRequestHandler):
    """Answers every GET with 200 and `body`, and calls it JSON."""

    body = ""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoneGateway]:
    """A real one; the product service behind it is not ours."""
    route = '[[route]]\nprefix = "/"\nupstream = "any"\nauth = "none"\n'
    with ThreadingHTTPServer((LOOPBACK, 0), Catalogue) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        origin = f"http://{LOOPBACK}:{server.server_port}"
        started = LoneGateway(tmp_path_factory.mktemp("gateway"), route, origin)
        yield started
        started.close()
        server.shutdown()


@pytest.mark.parametrize(
    ("body", "surprise"),
    [
        ('{"articles": []}', "the body has no member 'items'"),
        ('{"items": 7}', "not so: a page has items"),
        ("[]", "the body has no member 'items'"),
        ("once upon", "the body is not JSON"),
    ],
)
def test_a_wrong_answer_is_a_surprise(
    gateway: LoneGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, surprise: str
) -> None:
    monkeypatch.setattr(Catalogue, "body", body)
    settings = {**os.environ, "PORT_BASE": str(gateway.port), "PLAINSTACK_HOME": str(tmp_path)}
    done = subprocess.run(
        [DEMO], cwd=CHECKOUT, env=settings, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (1, f"{SURPRISE}{surprise}\n")
