"""A gateway that has no file descriptor left for its upstream says so, and blames nobody else."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.e2e.lone_gateway import LoneGateway
from tests.waiting import until

DESCRIPTORS = 60  # some fifteen are needed to be there at all
PUBLIC = '[[route]]\nprefix = "/"\nupstream = "any"\nauth = "none"\n'
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
SHORTAGE = 'upstream_failures_total{reason="OutOfDescriptors",upstream="any"}'


class Hello(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Be silent."""


@pytest.fixture
def upstream() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Hello) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def gateway(upstream: str, tmp_path: Path) -> Iterator[LoneGateway]:
    started = LoneGateway(tmp_path, PUBLIC, upstream, descriptors=DESCRIPTORS)
    yield started
    started.close()


def open_descriptors(gateway: LoneGateway) -> int:
    return len(os.listdir(f"/proc/{gateway.process.pid}/fd"))


def connect(gateway: LoneGateway, opened: ExitStack) -> socket.socket:
    return opened.enter_context(socket.create_connection(("127.0.0.1", gateway.port), timeout=10))


def test_the_shortage_is_503_counted_and_logged_once(gateway: LoneGateway) -> None:
    with ExitStack() as opened:
        served = [connect(gateway, opened) for _ in range(DESCRIPTORS)]
        until(lambda: open_descriptors(gateway) == DESCRIPTORS, 5, "all descriptors are taken")
        for client in served[:3]:
            client.sendall(GET)
            answer = client.recv(65_536)
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert b"Retry-After: 1\r\n" in answer
    until(lambda: open_descriptors(gateway) < DESCRIPTORS // 2, 5, "the clients have left")
    assert gateway.client.get("/").status == 204, "the upstream was not to blame, and is asked at once"
    assert f"{SHORTAGE} 3.0" in gateway.admin.get("/metrics").body.decode()
    lines = [line for line in gateway.lines() if line.get("message") == "no file descriptors left"]
    assert [(line["reason"], line["limit"]) for line in lines] == [("EMFILE", DESCRIPTORS)]


def test_too_low_a_limit_is_said_at_the_start(gateway: LoneGateway) -> None:
    (line,) = (line for line in gateway.lines() if "fewer file descriptors" in line.get("message", ""))
    assert (line["level"], line["limit"]) == ("warning", DESCRIPTORS)
    assert line["needed"] > 10_000
