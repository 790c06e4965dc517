"""The two messages of HTTP as the handlers see them, and the shapes of handler and middleware.

Header text is decoded as ISO 8859-1 once, where a head enters the process: every octet survives the round
trip, and all code in between works on `str` (RFC 9110 section 5.5).
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from shared.context import ANONYMOUS, Principal, Trace
from shared.http.stream import Stream

Fields = list[tuple[str, str]]


class Headers(dict[str, str]):
    """The header of one message: names in lower case to values; repeated fields are joined by ", ".

    (RFC 9110 section 5.3.) `fields` has them one by one, in order and as they were spelled.
    """

    __slots__ = ("fields",)

    def __init__(self, fields: Fields) -> None:
        self.fields = fields
        for name, value in fields:
            key = name.lower()
            self[key] = f"{self[key]}, {value}" if key in self else value

    def all(self, name: str) -> list[str]:
        """Every value of `name` (lower case), one for each line that carried it."""
        return [value for key, value in self.fields if key.lower() == name]

    def __repr__(self) -> str:
        return f"Headers({', '.join(self)})"  # names only: values may be secret


class Body(Protocol):
    """The content of a request, read once, in pieces, as it arrives."""

    @property
    def length(self) -> int | None:
        """Bytes announced by `Content-Length`; 0 when there is no body; None when chunked."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The pieces, never empty; back-pressure reaches the client when nobody asks for the next."""

    async def read(self, limit: int) -> bytes:
        """The whole body; raises PayloadTooLarge past `limit` bytes."""


class NoBody:
    """The body of a request that has none."""

    length: int | None = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        return
        yield b""

    async def read(self, limit: int) -> bytes:
        """Nothing, whatever the limit."""
        return b""


class WholeBody:
    """A body that has arrived already."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.length: int | None = len(content)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self.content:
            yield self.content

    async def read(self, limit: int) -> bytes:
        """All of it; whoever made this has seen to its length."""
        return self.content


class Pieces(Protocol):
    """The content of a streamed response. Asynchronous generators are such, and so is a proxied body."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The pieces, in order."""

    async def aclose(self) -> None:
        """Let go of what the pieces come from, whether or not any was asked for."""


async def _no_interim(status: int, fields: Fields) -> None:
    """What sends an interim response (1xx) where there is nobody to send it to."""


@dataclass(slots=True)
class Request:
    """One request. The second group of attributes is filled in by the middleware that owns each."""

    method: str
    target: str  # exactly as received, query included
    headers: Headers
    body: Body = field(default_factory=NoBody)
    peer: str = ""  # the address at the other end of the socket
    version: str = "1.1"
    scheme: str = "http"
    expects_continue: bool = False  # the client waits for an interim 100 before it sends the body
    send_interim: Callable[[int, Fields], Awaitable[None]] = _no_interim

    id: str = ""
    trace: Trace | None = None
    client_address: str = ""  # the peer, or what a trusted proxy says of it
    principal: Principal = ANONYMOUS
    route: str = ""  # the pattern that matched, for logs and metrics
    parameters: dict[str, str] = field(default_factory=dict)  # decoded path parameters
    notes: dict[str, Any] = field(default_factory=dict)  # what one middleware tells a later one

    @property
    def path(self) -> str:
        """The target up to its query, still percent-encoded."""
        return self.target.partition("?")[0]


class Upgrade(Protocol):
    """The other protocol that a connection speaks after a 101 (RFC 9110 section 7.8)."""

    async def serve(self, stream: Stream) -> None:
        """Speak it, until the connection has ended. What has been read already stands in `stream.buffer`."""

    def leave(self) -> None:
        """The process is leaving: come to an end soon. Perhaps before `serve` is called."""


@dataclass(slots=True)
class Response:
    """One final response. A streamed body is closed when it has been sent or given up.

    With an `upgrade`, which a 101 has and nothing else, the connection is no HTTP connection any more.
    """

    status: int
    headers: Fields = field(default_factory=list)
    body: bytes | Pieces = b""
    reason: str = ""
    upgrade: Upgrade | None = None


# What only looks at the request, and not at its answer, may be a plain function that returns what the next
# handler returns: one coroutine less for every request.
Handler = Callable[[Request], Awaitable[Response]]
Middleware = Callable[[Handler], Handler]


# What an answer says that nobody may keep: one with tokens (RFC 6749 section 5.1), or about one's account.
NO_STORE = ("Cache-Control", "no-store")


def json_response(status: int, value: Any, headers: Iterable[tuple[str, str]] = ()) -> Response:
    """`value` (anything msgspec encodes) as `application/json`."""
    return Response(status, [("Content-Type", "application/json"), *headers], msgspec.json.encode(value))
