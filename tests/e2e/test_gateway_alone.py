"""The gateway as a process of its own before a service that is not ours."""

import http.client
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from shared.config import CHECKOUT
from tests.e2e.lone_gateway import LoneGateway
from tests.waiting import kept_once, until

MEGABYTE = 1_048_576
PUBLIC = '[[route]]\nprefix = "/"\nupstream = "any"\nauth = "none"\nbody_limit = 0\n'
SMALL = '[[route]]\nprefix = "/small"\nupstream = "any"\nauth = "none"\nbody_limit = 10\n'


class ForeignService(BaseHTTPRequestHandler):
    """The standard library's server: it knows nothing of us."""

    protocol_version = "HTTP/1.1"
    seen: list[tuple[str, str, dict[str, str], int]] = []  # noqa: RUF012 - shared on purpose: one for all

    def handle(self) -> None:
        with suppress(
            ConnectionError
        ):  # the gateway leaves when its client does, or has said what is no HTTP
            super().handle()

    def handle_any(self) -> None:
        length = 0
        for size in self.sizes():
            left = size
            while left:
                left -= len(self.rfile.read(min(left, MEGABYTE)))
            length += size
        self.seen.append((self.command, self.path, dict(self.headers.items()), length))
        if self.path.startswith("/big/"):
            self.big(int(self.path.rpartition("/")[2]))
        elif self.path == "/hang":
            self.rfile.read(1)  # until the other side leaves
        else:
            self.send_response(218, "This Is Fine")
            self.send_header("X-Foreign", "yes")
            self.send_header("Content-Length", "5")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(b"hello")

    def sizes(self) -> Iterator[int]:
        if "Transfer-Encoding" not in self.headers:
            yield int(self.headers.get("Content-Length", 0))
            return
        while size := int(self.rfile.readline() or b"0", 16):
            yield size
            self.rfile.readline()
        self.rfile.readline()

    def big(self, megabytes: int) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(megabytes * MEGABYTE))
        self.end_headers()
        for _ in range(megabytes):
            self.wfile.write(b"x" * MEGABYTE)

    def log_message(self, *_: object) -> None:
        """Be silent."""

    do_GET = do_POST = do_PUT = do_HEAD = do_BREW = do_PROPFIND = handle_any  # noqa: N815


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), ForeignService)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def gateway(upstream: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoneGateway]:
    started = LoneGateway(tmp_path_factory.mktemp("gateway"), PUBLIC + SMALL, upstream)
    yield started
    started.close()


def raw(gateway: LoneGateway, data: bytes) -> bytes:
    """What comes back for bytes on a new connection, until the gateway closes it."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as connection:
        connection.sendall(data)
        answer = b""
        while piece := connection.recv(65_536):
            answer += piece
        return answer


def test_it_passes_on_what_it_does_not_understand(gateway: LoneGateway) -> None:
    ForeignService.seen.clear()
    answer = gateway.client.request("BREW", "/pot?milk=%20yes", headers={"X-Any": "thing", "Accept": "*/*"})
    assert (answer.status, answer.body, answer.headers["X-Foreign"]) == (218, b"hello", "yes")
    assert answer.headers["Via"] == "1.1 plainstack"
    assert answer.headers["X-Request-ID"]
    ((method, target, fields, _),) = ForeignService.seen
    assert (method, target, fields["X-Any"]) == ("BREW", "/pot?milk=%20yes", "thing")
    assert fields["X-Forwarded-For"] == "127.0.0.1"
    assert fields["Host"] == f"127.0.0.1:{gateway.port}"
    assert not any(name.lower().startswith(("x-authenticated", "x-identity")) for name in fields)


def test_what_a_client_may_not_say_does_not_arrive(gateway: LoneGateway) -> None:
    ForeignService.seen.clear()
    forged = {
        "X-Authenticated-User-ID": "root",
        "X_Authenticated_Roles": "admin",
        "x-identity-signature": "1:gateway:k1:0:x",
        "X-Forwarded-For": "6.6.6.6",
        "X-Forwarded-Proto": "https",
        "Forwarded": "for=6.6.6.6",
        "X-Request-ID": "bad id!",
        "X-Request-Deadline": "999999999999",
        "Connection": "keep-alive, X-Forwarded-Proto, X-Private",
        "X-Private": "hop",
        "TE": "trailers",
        "Upgrade": "h2c",
        "Proxy-Authorization": "Basic x",
        "Authorization": "Basic passes untouched",
    }
    assert gateway.client.request("GET", "/", headers=forged).status == 218
    ((_, _, fields, _),) = ForeignService.seen
    lowered = {name.lower().replace("_", "-"): value for name, value in fields.items()}
    assert lowered["x-forwarded-for"] == "127.0.0.1"
    assert lowered["x-forwarded-proto"] == "http"
    assert lowered["x-request-deadline"] == "30000"
    assert lowered["authorization"] == "Basic passes untouched"
    assert lowered["x-request-id"] != "bad id!"
    for gone in ("forwarded", "x-private", "te", "upgrade", "proxy-authorization", "connection"):
        assert gone not in lowered
    assert not any(name.startswith(("x-authenticated", "x-identity")) for name in lowered)


SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize(
    "request_",
    [
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        + SMUGGLED,
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"
        + SMUGGLED,
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 35\r\n\r\n" + SMUGGLED,
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +0\r\n\r\n" + SMUGGLED,
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 35\r\n\r\n" + SMUGGLED,
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 35\r\n\r\n" + SMUGGLED,
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n" + SMUGGLED,
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n" + SMUGGLED,
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        b"POST / HTTP/1.1\r\nHost: a\r\nX: y\r\n Transfer-Encoding: chunked\r\n\r\n" + SMUGGLED,
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n" + SMUGGLED,
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nZZ\r\n0\r\n\r\n" + SMUGGLED,
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0;\n\r\n\r\n" + SMUGGLED,
        b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        b"GET / HTTP/1.1\nHost: a\n\n" + SMUGGLED,
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" + SMUGGLED,
        b"GET / HTTP/1.1\r\n\r\n" + SMUGGLED,
        b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n" + SMUGGLED,
        b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n" + SMUGGLED,
        b"GET / HTTP/1.1\r\nHost: a\r\nA\x00B: c\r\n\r\n" + SMUGGLED,
    ],
)
def test_a_second_request_is_never_smuggled_in(gateway: LoneGateway, request_: bytes) -> None:
    ForeignService.seen.clear()
    answer = raw(gateway, request_)
    status = int(answer.split(b" ", 2)[1])
    assert status in (400, 501, 505)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"Connection: close\r\n" in answer
    assert b"application/problem+json" in answer
    assert all(target != "/smuggled" for _, target, _, _ in ForeignService.seen)


@pytest.mark.parametrize("target", ["/a/../b", "/%2e%2e/b", "/a%2Fb", "/a%5Cb", "/a%00b", "/a\\b", "/..;/b"])
def test_ambiguous_paths_are_refused(gateway: LoneGateway, target: str) -> None:
    ForeignService.seen.clear()
    answer = raw(gateway, f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert ForeignService.seen == []


def test_pipelined_requests_are_answered_in_order(gateway: LoneGateway) -> None:
    ForeignService.seen.clear()
    first = b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"
    last = b"GET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    assert raw(gateway, first + last).count(b"HTTP/1.1 218 This Is Fine\r\n") == 2
    assert [target for _, target, _, _ in ForeignService.seen] == ["/1", "/2"]


def test_a_route_has_its_own_body_limit(gateway: LoneGateway) -> None:
    ForeignService.seen.clear()
    assert gateway.client.request("POST", "/small", body=b"x" * 10).status == 218
    answer = gateway.client.request("POST", "/small", body=b"x" * 11)
    assert (answer.status, answer.json["status"]) == (413, 413)
    head = b"POST /small HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunked = head + b"b\r\n12345678901\r\n0\r\n\r\n"
    assert raw(gateway, chunked).startswith(b"HTTP/1.1 413 ")
    assert [length for _, _, _, length in ForeignService.seen if length > 10] == []


def test_large_bodies_leave_memory_flat(gateway: LoneGateway) -> None:
    gateway.client.request("POST", "/", body=b"x" * MEGABYTE)
    before = gateway.peak_memory_kb()
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
    pieces = (b"x" * MEGABYTE for _ in range(100))
    connection.request("PUT", "/", body=pieces, headers={"Content-Length": str(100 * MEGABYTE)})
    response = connection.getresponse()
    assert (response.status, response.read()) == (218, b"hello")
    connection.request("GET", "/big/100")
    response = connection.getresponse()
    received = 0
    while piece := response.read(MEGABYTE):
        received += len(piece)
    connection.close()
    assert received == 100 * MEGABYTE
    assert ForeignService.seen[-2][3] == 100 * MEGABYTE
    assert gateway.peak_memory_kb() - before < 50 * 1024  # of 200 MB that went through
    line = gateway.line_of("/big/100")
    assert (line["bytes_out"], line["status"]) == (100 * MEGABYTE, 200)


def test_a_client_that_leaves_is_499(gateway: LoneGateway) -> None:
    connection = socket.create_connection(("127.0.0.1", gateway.port))
    seen = len(ForeignService.seen)
    connection.sendall(b"GET /hang HTTP/1.1\r\nHost: a\r\n\r\n")
    until(lambda: len(ForeignService.seen) > seen, 5, "the request arrives")
    connection.close()
    assert gateway.line_of("/hang")["status"] == 499


def test_the_access_log(gateway: LoneGateway) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    fields = {"traceparent": trace, "X-Request-ID": "my-id", "Authorization": "Bearer very-secret"}
    gateway.client.request("POST", "/logged?password=very-secret", body=b"very-secret", headers=fields)
    line = gateway.line_of("/logged")
    assert (line["request_id"], line["trace_id"]) == ("my-id", trace.split("-")[1])
    assert (line["method"], line["path"], line["route"], line["status"]) == ("POST", "/logged", "/", 218)
    assert (line["bytes_in"], line["bytes_out"], line["peer"], line["user_id"]) == (11, 5, "127.0.0.1", None)
    assert 0 < line["upstream_ms"] <= line["duration_ms"]
    assert "very-secret" not in str(gateway.lines())
    assert ForeignService.seen[-1][2]["traceparent"].split("-")[1] == trace.split("-")[1]


def test_the_admin_port(gateway: LoneGateway) -> None:
    assert gateway.admin.get("/healthz").status == 200
    assert gateway.admin.get("/readyz").status == 200
    metrics = gateway.admin.get("/metrics").body.decode()
    assert "http_requests_total" in metrics
    assert 'upstream_failures_total{reason="ResponseTimeout",upstream="any"} 0.0' in metrics
    assert 'http_requests_refused_total{status="431"} 0.0' in metrics
    document = gateway.admin.get("/routes").json
    assert [route["prefix"] for route in document["routes"]] == ["/", "/small"]
    assert document["upstreams"]["any"][0]["ejected_for_seconds"] == 0
    assert gateway.client.get("/metrics").body == b"hello"  # the public port belongs to the upstream


def test_an_upstream_that_is_away_is_502_and_recovers(tmp_path: Path, upstream: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    gateway = LoneGateway(tmp_path, PUBLIC, f"http://127.0.0.1:{port}")
    try:
        answer = gateway.client.get("/")
        assert (answer.status, answer.headers["Content-Type"]) == (502, "application/problem+json")
        assert answer.json["instance"].endswith(answer.headers["X-Request-ID"])
        server = ThreadingHTTPServer(("127.0.0.1", port), ForeignService)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        assert gateway.client.get("/").status == 218
        server.shutdown()
        thread.join()
        server.server_close()
    finally:
        gateway.close()


@pytest.fixture
def own_gateway(tmp_path: Path, upstream: str) -> Iterator[Callable[..., LoneGateway]]:
    started: list[LoneGateway] = []

    def start(routes: str, **settings: str) -> LoneGateway:
        started.append(LoneGateway(tmp_path, routes, upstream, settings=settings))
        return started[-1]

    yield start
    for each in started:
        each.close()


def test_too_slow_an_upstream_is_504(own_gateway: Callable[..., LoneGateway]) -> None:
    gateway = own_gateway(PUBLIC + "timeouts = { head_seconds = 0.3 }\n")
    assert gateway.client.get("/hang").status == 504


def test_a_trusted_proxy_is_believed(own_gateway: Callable[..., LoneGateway]) -> None:
    gateway = own_gateway(PUBLIC, TRUSTED_PROXIES="127.0.0.0/8")
    fields = {
        "X-Forwarded-For": "6.6.6.6, 198.51.100.1",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "h",
    }
    gateway.client.request("GET", "/proxied", headers=fields)
    seen = ForeignService.seen[-1][2]
    assert seen["X-Forwarded-For"] == "6.6.6.6, 198.51.100.1, 127.0.0.1"
    assert (seen["X-Forwarded-Proto"], seen["X-Forwarded-Host"]) == ("https", "h")
    line = gateway.line_of("/proxied")
    assert (line["peer"], line["client_address"]) == ("127.0.0.1", "198.51.100.1")


def test_sigterm_finishes_what_is_in_flight(own_gateway: Callable[..., LoneGateway]) -> None:
    kept_once(lambda: _finishes_what_is_in_flight(own_gateway(PUBLIC)))  # while it drains: three seconds


def _finishes_what_is_in_flight(gateway: LoneGateway) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab")
        until(lambda: b"in_flight 1.0" in gateway.admin.get("/metrics").body, 20, "the request is in flight")
        gateway.process.send_signal(signal.SIGTERM)
        until(lambda: _refuses(gateway.port), 20, "no more connections are accepted")
        connection.sendall(b"cd")
        answer = connection.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 218 ")
    assert b"Connection: close\r\n" in answer
    assert gateway.process.wait(20) == 0


def _refuses(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return False
    except OSError:
        return True


def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "gateway.py", *arguments]
    return subprocess.run(
        command, cwd=CHECKOUT, env=settings, capture_output=True, text=True, timeout=20, check=False
    )


def test_check_names_line_and_key_of_every_fault(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text('[upstream.a]\ntargets = ["nope"]\n\n[[route]]\nprefix = "/"\nupstream = "b"\nauht = 1\n')
    result = run("--check", "--config", str(file))
    assert result.returncode == 2
    assert result.stderr.splitlines() == [
        f"{file}:2: upstream.a.targets: must be like http://host:port",
        f"{file}:6: route.upstream: there is no [upstream.b]",
        f"{file}:7: route.auht: is not a key that is known here",
    ]


def test_check_of_a_good_file(tmp_path: Path) -> None:
    file = tmp_path / "other.toml"
    file.write_text('[upstream.a]\ntargets = ["http://a:1"]\n' + PUBLIC.replace("any", "a"))
    result = run("--check", GATEWAY_CONFIG=str(file))
    assert (result.returncode, result.stdout) == (0, f"{file}: 1 route to 1 upstream, no faults\n")
    assert run("--check").returncode == 0  # our own


def test_a_bad_file_and_a_taken_port_are_one_line(gateway: LoneGateway, tmp_path: Path) -> None:
    result = run("--config", str(tmp_path / "none.toml"))
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert "none.toml: cannot be read: No such file or directory" in result.stderr
    file = tmp_path / "taken.toml"
    file.write_text(
        f'listen = "127.0.0.1:{gateway.port}"\nadmin = ":0"\n' + gateway.config.read_text().split("\n", 2)[2]
    )
    result = run("--config", str(file))
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert f"127.0.0.1:{gateway.port}: cannot listen there" in result.stderr
