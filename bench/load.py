"""Closed-loop load: a number of connections, each asking again as soon as it has its answer."""

import asyncio
import re
import shutil
import subprocess
import sys
import time

from bench.machine import OTHER_CORE, pinned

CONNECTIONS = 32


def requests_per_second(url: str, token: str, seconds: int) -> float:
    """What the server at `url` answers with 200 a second. Raises RuntimeError at any other answer."""
    if shutil.which("wrk"):
        return _by_wrk(url, token, seconds)
    command = [sys.executable, "-m", "bench.load", url, token, str(seconds)]
    result = subprocess.run(pinned(OTHER_CORE, command), capture_output=True, text=True, check=True)
    return float(result.stdout)


def _by_wrk(url: str, token: str, seconds: int) -> float:
    options = ["-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-H", f"Authorization: Bearer {token}"]
    command = pinned(OTHER_CORE, ["wrk", *options, url])
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in output or "Socket errors" in output:
        raise RuntimeError(output)
    found = re.search(r"Requests/sec:\s+([\d.]+)", output)
    if found is None:
        raise RuntimeError(output)
    return float(found[1])


class _Asker(asyncio.Protocol):
    def __init__(self, request: bytes) -> None:
        self._request = request
        self._buffer = b""
        self.answers = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        if found and length and len(body) >= int(length[1]):
            if b" 200 " not in head[:20]:
                raise RuntimeError(head.decode("latin-1"))
            self._buffer = b""
            self.answers += 1
            self._transport.write(self._request)


async def _ask(url: str, token: str, seconds: int) -> float:
    host, _, path = url.removeprefix("http://").partition("/")
    name, _, port = host.partition(":")
    request = f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    connecting = (
        loop.create_connection(lambda: _Asker(request), name, int(port)) for _ in range(CONNECTIONS)
    )
    askers = [asker for _, asker in await asyncio.gather(*connecting)]
    await asyncio.sleep(seconds)
    return sum(asker.answers for asker in askers) / (time.perf_counter() - started)


if __name__ == "__main__":
    print(asyncio.run(_ask(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
