"""What a whole system writes down about those who use it: never what would let others be them."""

import secrets
import socket
from urllib.parse import urlsplit

from tests.e2e.client import Client
from tests.e2e.system import System
from tests.waiting import until


def send(gateway: Client, data: bytes) -> bytes:
    """The answer to bytes that no well-behaved client sends."""
    address = urlsplit(gateway.origin)
    with socket.create_connection((address.hostname, address.port), timeout=5) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := connection.recv(65_536):
            answer += piece
    return answer


def malformed(token: str) -> list[bytes]:
    """Requests that are refused while they are read, with `token` at different places."""
    return [
        f"GET /auth/me HTTP/1.1\r\n{rest}\r\n\r\n".encode()
        for rest in (
            f"Host: a\r\nAuthorization : Bearer {token}",
            f"Host: a\r\n Authorization: Bearer {token}",
            f"Host: a\r\nAuthorization: Bearer {token}\x00",
            f"Host: a\r\nBearer {token}",
            f"Authorization: Bearer {token}",
            f"Host: a\r\nContent-Length: {token}",
            f"Host: {token}@a",
            f"Host: a\r\nAuthorization: Bearer {token}{'x' * 40_000}",
        )
    ]


def test_the_log_holds_no_password_and_no_token(system: System) -> None:
    gateway = system.client()
    password, wrong, forged = (secrets.token_urlsafe(24) for _ in range(3))
    user = {"email": f"{secrets.token_hex(6)}@example.com", "display_name": "User", "password": password}
    assert gateway.post("/auth/signup", user).status == 201
    first = gateway.post("/auth/login", user).json
    second = gateway.post("/auth/refresh", {"refresh_token": first["refresh_token"]}).json
    assert gateway.post("/auth/login", {**user, "password": wrong}).status == 401
    for data in malformed(forged):
        assert send(gateway, data).startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 431 ")), data
    assert gateway.request("POST", "/auth/login", body=f'{{"password": "{password}'.encode()).status == 400
    assert gateway.get(f"/auth/me?access_token={second['access_token']}").status == 401
    assert gateway.get("/auth/me", token=forged).status == 401
    assert gateway.post("/auth/logout", token=second["access_token"]).status == 204
    assert gateway.post("/auth/refresh", {"refresh_token": second["refresh_token"]}).status == 401

    last = {"X-Request-ID": secrets.token_hex(8)}
    assert gateway.request("POST", "/auth/login", json_body=user, headers=last).status == 200
    until(lambda: system.log().count(last["X-Request-ID"]) > 1, 20, "gateway and auth server write")
    tokens = [answer[kind] for answer in (first, second) for kind in ("access_token", "refresh_token")]
    kept = [file.read_text().strip() for file in (system.home / "secrets").iterdir()]
    log = system.log()
    for secret in (password, wrong, forged, *tokens, *kept):
        assert secret not in log
        assert secret.rpartition(".")[2] not in log  # nor the signature of a token alone
