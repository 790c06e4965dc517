"""A small upstream for machines without nginx: answers every request with the same bytes."""

import asyncio
import sys
from pathlib import Path


class _Answerer(asyncio.Protocol):
    def __init__(self, answer: bytes, keys: bytes) -> None:
        self._answer = answer
        self._keys = keys
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
            self._transport.write(self._keys if b"jwks.json" in head else self._answer)


def _response(body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def _serve(port: int, folder: Path) -> None:
    answer, keys = (_response((folder / name).read_bytes()) for name in ("answer.json", "jwks.json"))
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Answerer(answer, keys), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), Path(sys.argv[2])))
