"""How a response goes on the wire: its head, and how the end of its body is told. Pure."""

from collections.abc import Iterable
from email.utils import formatdate
from enum import Enum, auto
from time import time

from shared.http.head import STATUS_WITHOUT_BODY, format_head
from shared.http.messages import Fields, Response
from shared.http.statuses import REASONS

_NO_CONTENT = 204


class Framing(Enum):
    """How the client learns where the body ends (RFC 9112 section 6)."""

    NO_BODY = auto()
    LENGTH = auto()
    CHUNKED = auto()
    UNTIL_CLOSE = auto()


def framing_of(response: Response, method: str, version: str) -> Framing:
    """How the body of `response` to a `method` request of HTTP/`version` is framed."""
    if method == "HEAD" or response.status in STATUS_WITHOUT_BODY:
        return Framing.NO_BODY
    if isinstance(response.body, bytes) or _has(response.headers, "content-length"):
        return Framing.LENGTH
    return Framing.CHUNKED if version == "1.1" else Framing.UNTIL_CLOSE


def answer_head(response: Response, framing: Framing, version: str, *, keep_alive: bool) -> bytes:
    """The status line and header of `response`. Raises ValueError for a field that would break its line."""
    fields = response.headers
    present = {name.lower() for name, _ in fields}
    added: Fields = []
    if framing is Framing.CHUNKED:
        added.append(("Transfer-Encoding", "chunked"))
    elif response.status == _NO_CONTENT:
        fields = [field for field in fields if field[0].lower() != "content-length"]
    elif "content-length" not in present and isinstance(response.body, bytes) and _counts(response, framing):
        added.append(("Content-Length", str(len(response.body))))
    if "date" not in present:
        added.append(("Date", _http_date(int(time()))))
    if not keep_alive or framing is Framing.UNTIL_CLOSE:
        added.append(("Connection", "close"))
    elif version == "1.0":
        added.append(("Connection", "keep-alive"))
    return format_head(_status_line(response.status, response.reason), fields + added)


def interim_head(status: int, fields: Fields) -> bytes:
    """An interim response (RFC 9110 section 15.2)."""
    return format_head(_status_line(status, ""), fields)


def _counts(response: Response, framing: Framing) -> bool:
    """Whether the length of a body of bytes is said. To HEAD it is what GET would get, if there is one."""
    return framing is Framing.LENGTH or (response.status not in STATUS_WITHOUT_BODY and bool(response.body))


def _has(fields: Iterable[tuple[str, str]], name: str) -> bool:
    return any(key.lower() == name for key, _ in fields)


def _status_line(status: int, reason: str) -> str:
    return f"HTTP/1.1 {status} {reason or REASONS.get(status, '')}"


_last_date = (-1, "")


def _http_date(second: int) -> str:
    global _last_date  # noqa: PLW0603 - a one-entry cache: most answers share their second
    if _last_date[0] != second:
        _last_date = (second, formatdate(second, usegmt=True))
    return _last_date[1]
