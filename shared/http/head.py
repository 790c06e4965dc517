"""The wire format of message heads (RFC 9112 sections 2 to 6).

There are two ways through. The fast path is one anchored regular expression per kind of head: it recognises
the plain heads that nearly all messages have and nothing else. Everything it does not recognise goes to h11,
which decides. A property test holds the two together: what the fast path takes, h11 takes too, with the same
result.

h11 alone is too lenient for a front end (it accepts folded lines, control characters, and both
`Content-Length` and `Transfer-Encoding`). What RFC 9112 calls ambiguous is therefore refused here, before h11
sees it and again in `_framing`: two parties that read one message differently is what request smuggling
lives on. Nothing is ever repaired.
"""

import re
from dataclasses import dataclass

import h11

from shared.http.messages import Fields, Headers
from shared.observability import metrics

END_OF_HEAD = b"\r\n\r\n"
HEADER_FIELDS = 100  # a browser sends about 20; each one costs us time and memory

# How a body ends, where it is not a number of bytes.
CHUNKED = -1
UNTIL_CLOSE = -2  # responses only

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_TEXT = rb"[\t\x20-\x7e\x80-\xff]*+"
_FIELDS = rb"((?:" + _TOKEN + rb":" + _TEXT + rb"\r\n)*+)\r\n"
_PLAIN_REQUEST = re.compile(
    rb"(?!CONNECT )(" + _TOKEN + rb") (/[\x21\x22\x24-\x7e]*+) HTTP/1\.1\r\n" + _FIELDS
)
_PLAIN_RESPONSE = re.compile(rb"HTTP/1\.1 ([1-9][0-9]{2}) (" + _TEXT + rb")\r\n" + _FIELDS)
_AMBIGUOUS = re.compile(
    rb"(?P<fold>\r\n[ \t])|(?P<line>(?<!\r)\n|\r(?!\n))|(?P<control>[\x00-\x08\x0b\x0c\x0e-\x1f\x7f])"
)
_REASONS = {
    "fold": "A header line is folded.",
    "line": "A line does not end with CRLF.",
    "control": "There is a control character in the head.",
}
_HOST = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=%]*+|\[[0-9A-Fa-f:.]++\])(?::[0-9]{0,5})?")
_ABSOLUTE = re.compile(r"(?i:https?)://([^/?#]+)([^#]*)")
_DIGITS = re.compile(r"[0-9]{1,15}")  # a petabyte is enough; int() would take signs and underscores
_ONCE = ("host", "content-length", "transfer-encoding")  # repeated, each would be ambiguous
_RARE = frozenset({"transfer-encoding", "upgrade", "expect"})

SWITCHING_PROTOCOLS = 101
FIRST_FINAL_STATUS = 200
STATUS_WITHOUT_BODY = (204, 304)
_OUR_REQUEST = h11.Request(method="GET", target="/", headers=[("Host", "h11")])


class BadMessage(Exception):
    """The peer's message cannot be understood, or must not be. `status` is what a server answers."""

    def __init__(self, detail: str, status: int = 400) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status


@dataclass(slots=True)
class RequestHead:
    """What a request's head says. `framing` is the body's length in bytes, or CHUNKED."""

    method: str
    target: str
    headers: Headers
    framing: int
    version: str = "1.1"
    keep_alive: bool = True
    expects_continue: bool = False


@dataclass(slots=True)
class ResponseHead:
    """What a response's head says. `framing` is the body's length in bytes, CHUNKED or UNTIL_CLOSE."""

    status: int
    reason: str
    headers: Headers
    framing: int
    keep_alive: bool = True


def parse_request_head(head: bytes) -> RequestHead:
    """`head`, from the first byte of the request line to the empty line. Raises BadMessage."""
    return request_by_pattern(head) or request_by_h11(head)


def parse_response_head(head: bytes, request_method: str) -> ResponseHead:
    """`head` of the answer to a `request_method` request. Raises BadMessage."""
    return response_by_pattern(head, request_method) or response_by_h11(head, request_method)


# The fast path


def request_by_pattern(head: bytes) -> RequestHead | None:
    """The request that a plain `head` makes; None where h11 must decide. Raises BadMessage."""
    matched = _PLAIN_REQUEST.fullmatch(head)
    if matched is None:
        return None
    method, target, block = matched.groups()
    headers = _split(block)
    if headers is None or "host" not in headers or not _RARE.isdisjoint(headers):
        return None
    return _request_head(method.decode(), target.decode(), "1.1", headers)


def response_by_pattern(head: bytes, request_method: str) -> ResponseHead | None:
    """The response that a plain `head` makes; None where h11 must decide. Raises BadMessage."""
    matched = _PLAIN_RESPONSE.fullmatch(head)
    if matched is None:
        return None
    status, reason, block = matched.groups()
    headers = _split(block)
    if headers is None:
        return None
    return _response_head(int(status), reason.decode("latin-1"), "1.1", headers, request_method)


def _split(block: bytes) -> Headers | None:
    """A block of well-formed header lines; None when a name that may stand only once is repeated."""
    fields: Fields = []
    for line in block.decode("latin-1").split("\r\n"):
        name, _, value = line.partition(":")
        fields.append((name, value.strip(" \t")))
    fields.pop()  # what follows the last line's end
    if len(fields) > HEADER_FIELDS:
        raise BadMessage(f"There are more than {HEADER_FIELDS} header fields.", 431)
    headers = Headers(fields)
    if len(headers) != len(fields) and any(len(headers.all(name)) > 1 for name in _ONCE):
        return None
    return headers


# The other way: h11 decides


def request_by_h11(head: bytes) -> RequestHead:
    """The request that `head` makes, read by h11. Raises BadMessage."""
    metrics.PARSED_BY_H11.labels("request").inc()
    event = _ask_h11(h11.Connection(h11.SERVER), head)
    if not isinstance(event, h11.Request):
        raise BadMessage("This is not a request.")
    method, version = event.method.decode(), event.http_version.decode()
    headers = _headers_of(event)
    if version not in ("1.0", "1.1"):
        raise BadMessage("Only HTTP/1.0 and HTTP/1.1 are spoken here.", 505)
    target = _origin_form(method, event.target.decode("latin-1"), headers.get("host", "") or "")
    return _request_head(method, target, version, headers)


def response_by_h11(head: bytes, request_method: str) -> ResponseHead:
    """The response that `head` makes, read by h11. Raises BadMessage."""
    metrics.PARSED_BY_H11.labels("response").inc()
    connection = h11.Connection(h11.CLIENT)
    connection.send(_OUR_REQUEST)
    event = _ask_h11(connection, head)
    if not isinstance(event, h11.Response | h11.InformationalResponse):
        raise BadMessage("This is not a response.")
    headers = _headers_of(event)
    reason, version = event.reason.decode("latin-1"), event.http_version.decode()
    if version not in ("1.0", "1.1"):
        raise BadMessage("Only HTTP/1.0 and HTTP/1.1 are spoken here.")
    return _response_head(event.status_code, reason, version, headers, request_method)


def _ask_h11(connection: h11.Connection, head: bytes) -> object:
    refuse_ambiguity(head)
    _refuse_repetition(head)  # h11 would fold equal Content-Length fields into one
    try:
        connection.receive_data(head)
        return connection.next_event()
    except h11.RemoteProtocolError as refused:
        # What h11 says quotes the line, and that may hold a token: it must reach neither log nor client.
        raise BadMessage("The head is malformed.", refused.error_status_hint) from None


def refuse_ambiguity(data: bytes) -> None:
    """Raise BadMessage if `data`, a head or a part of one, has what different parties read differently."""
    found = _AMBIGUOUS.search(data)
    if found is not None:
        raise BadMessage(_REASONS[str(found.lastgroup)])


def _refuse_repetition(head: bytes) -> None:
    names = [line.partition(b":")[0].strip().lower() for line in head.split(b"\r\n")[1:]]
    for name in _ONCE:
        if names.count(name.encode()) > 1:
            raise BadMessage(f"{name.title()} is repeated.")


def _headers_of(event: h11.Request | h11.Response | h11.InformationalResponse) -> Headers:
    raw = event.headers.raw_items()
    if len(raw) > HEADER_FIELDS:
        raise BadMessage(f"There are more than {HEADER_FIELDS} header fields.", 431)
    return Headers([(name.decode("latin-1"), value.decode("latin-1")) for name, value in raw])


def _origin_form(method: str, target: str, host: str) -> str:
    """The target as a path with query, or `*` (RFC 9112 section 3.2)."""
    if method == "CONNECT":
        raise BadMessage("CONNECT is not implemented here.", 501)
    if "#" in target:
        raise BadMessage("The request target has a fragment.")
    if target.startswith("/") or (target == "*" and method == "OPTIONS"):
        return target
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        raise BadMessage("The request target is neither a path nor a URL.")
    if absolute[1].lower() != host.lower():
        raise BadMessage("The request target and Host name different hosts.")
    return absolute[2] if absolute[2].startswith("/") else f"/{absolute[2]}"


# What both ways end in


def _request_head(method: str, target: str, version: str, headers: Headers) -> RequestHead:
    if not _HOST.fullmatch(headers.get("host") or ""):
        raise BadMessage("Host is not a host name.")
    framing = _framing(headers, version) or 0
    head = RequestHead(method, target, headers, framing, version, _keeps_alive(headers, version))
    expect = headers.get("expect")
    if expect is not None and version == "1.1":
        if expect.lower() != "100-continue":
            raise BadMessage("Only the expectation 100-continue is known here.", 417)
        head.expects_continue = head.framing != 0
    return head


def _response_head(
    status: int, reason: str, version: str, headers: Headers, request_method: str
) -> ResponseHead:
    if status == SWITCHING_PROTOCOLS:
        raise BadMessage("The protocol was switched without having been asked for.")
    framing = _framing(headers, version)
    if status < FIRST_FINAL_STATUS or status in STATUS_WITHOUT_BODY or request_method == "HEAD":
        framing = 0
    elif framing is None:
        framing = UNTIL_CLOSE
    keep_alive = framing != UNTIL_CLOSE and _keeps_alive(headers, version)
    return ResponseHead(status, reason, headers, framing, keep_alive)


def _framing(headers: Headers, version: str) -> int | None:
    """Length in bytes, CHUNKED, or None where the head says nothing (RFC 9112 section 6.3)."""
    length, coding = headers.get("content-length"), headers.get("transfer-encoding")
    if coding is not None:
        if length is not None:
            raise BadMessage("Both Content-Length and Transfer-Encoding are given.")
        if version != "1.1":
            raise BadMessage("Transfer-Encoding needs HTTP/1.1.")
        if coding.lower() != "chunked":
            raise BadMessage("The only transfer coding known here is chunked.", 501)
        return CHUNKED
    if length is None:
        return None
    if not _DIGITS.fullmatch(length):
        raise BadMessage("Content-Length is not a number of bytes.")
    return int(length)


def _keeps_alive(headers: Headers, version: str) -> bool:
    connection = headers.get("connection")
    if connection is None:
        return version == "1.1"
    if connection == "keep-alive":
        return True
    options = [option.strip() for option in connection.lower().split(",")]
    return "close" not in options and (version == "1.1" or "keep-alive" in options)


# Writing


def format_head(start_line: str, fields: Fields) -> bytes:
    """A head for the wire. Raises ValueError when a field would break out of its line."""
    lines = [start_line, *map(": ".join, fields)]
    content = "".join(lines)
    if "\r" in content or "\n" in content or "\0" in content:
        raise ValueError("A header field has a line break or NUL in it.")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
