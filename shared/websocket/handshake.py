"""The opening handshake, the server's side (RFC 6455 section 4.2). Pure.

A request that is no good handshake gets a plain HTTP error: nothing has been switched yet.
"""

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from shared.http.messages import Fields, Headers, Request
from shared.http.problems import HTTPError
from shared.websocket.deflate import EXTENSION, Deflate, choose_deflate

VERSION = "13"
KEY_BYTES = 16

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # section 1.3
_UPGRADE_REQUIRED = 426


@dataclass(frozen=True, slots=True)
class Handshake:
    """A good one: the client's key, what was agreed on about compression, where its page comes from."""

    key: str
    deflate: Deflate | None
    origin: str | None


def read_handshake(request: Request) -> Handshake:
    """What `request` asks for. Raises HTTPError: 400, 405 or 426."""
    headers = request.headers
    if request.method != "GET":
        raise HTTPError(405, "A WebSocket is opened by GET.", [("Allow", "GET")])
    if request.version != "1.1" or "websocket" not in _options(headers, "upgrade"):
        raise _upgrade_required("Ask for the protocol websocket, with HTTP/1.1.")
    if "upgrade" not in _options(headers, "connection"):
        raise HTTPError(400, "Connection does not name Upgrade.")
    if request.body.length != 0:
        raise HTTPError(400, "A request that opens a WebSocket has no body.")
    if headers.all("sec-websocket-version") != [VERSION]:
        raise _upgrade_required(f"The only version of WebSocket known here is {VERSION}.")
    offers = headers.get("sec-websocket-extensions") or ""
    return Handshake(_key(headers), choose_deflate(offers), headers.get("origin"))


def accepting_fields(handshake: Handshake) -> Fields:
    """The header of the 101."""
    digest = hashlib.sha1(f"{handshake.key}{_GUID}".encode(), usedforsecurity=False).digest()
    fields = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", base64.b64encode(digest).decode()),
    ]
    if handshake.deflate is not None:
        fields.append(("Sec-WebSocket-Extensions", f"{EXTENSION}; {handshake.deflate.parameters}"))
    return fields


def _key(headers: Headers) -> str:
    """Sixteen octets in base64, once. What they are does not matter."""
    keys = headers.all("sec-websocket-key")
    try:
        if len(keys) == 1 and len(base64.b64decode(keys[0], validate=True)) == KEY_BYTES:
            return keys[0]
    except ValueError:  # no base64; not even ASCII
        pass
    raise HTTPError(400, "Sec-WebSocket-Key is not the base64 of 16 bytes, once.")


def _options(headers: Headers, name: str) -> Iterator[str]:
    return (option.strip().lower() for option in (headers.get(name) or "").split(","))


def _upgrade_required(detail: str) -> HTTPError:
    fields = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", VERSION)]
    return HTTPError(_UPGRADE_REQUIRED, detail, fields)
