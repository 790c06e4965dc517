"""Heads on the wire: the fast path and h11 agree, and what is ambiguous is refused."""

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.http.head import (
    CHUNKED,
    UNTIL_CLOSE,
    BadMessage,
    format_head,
    parse_request_head,
    parse_response_head,
    request_by_h11,
    request_by_pattern,
    response_by_h11,
    response_by_pattern,
)

TOKEN = st.text("!#$%&'*+-.^_`|~abcXYZ019", min_size=1, max_size=8)
VALUE = st.text(st.characters(min_codepoint=0x09, max_codepoint=0xFF), max_size=12)
TARGET = st.one_of(
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7F), max_size=12).map(lambda tail: "/" + tail),
    st.sampled_from(["*", "http://a/", "http://b/x", "a:1", "", "/#f"]),
)
KNOWN_FIELD = st.sampled_from(
    [
        ("Host", "a"),
        ("host", "a:80"),
        ("Host", "a b"),
        ("Content-Length", "5"),
        ("content-length", "+5"),
        ("Content-Length", "5, 5"),
        ("Transfer-Encoding", "chunked"),
        ("transfer-encoding", "gzip, chunked"),
        ("Connection", "close"),
        ("Connection", "keep-alive"),
        ("Expect", "100-continue"),
        ("Upgrade", "websocket"),
        ("X-Empty", ""),
    ]
)
FIELD = st.one_of(KNOWN_FIELD, st.tuples(TOKEN, VALUE))
SEPARATOR = st.sampled_from([":", ": ", ":\t", " : ", ": \t "])
LINE_END = st.sampled_from(["\r\n"] * 20 + ["\n", "\r", "\r\n ", "\0\r\n"])


@st.composite
def heads(draw: st.DrawFn, start_line: st.SearchStrategy[str]) -> bytes:
    """Mostly well-formed heads, with a little of everything that goes wrong."""
    fields = [("Host", "a"), *draw(st.lists(FIELD, max_size=6))][draw(st.integers(0, 1)) :]
    lines = [draw(start_line) + draw(LINE_END)]
    lines += [f"{name}{draw(SEPARATOR)}{value}{draw(LINE_END)}" for name, value in fields]
    return ("".join(lines) + "\r\n").encode("latin-1")


METHOD = st.one_of(st.sampled_from(["GET", "HEAD", "POST", "OPTIONS", "CONNECT", "get"]), TOKEN)
VERSION = st.sampled_from(["HTTP/1.1"] * 8 + ["HTTP/1.0", "HTTP/2.0", "http/1.1", "HTTP/1.12"])
REQUEST_LINE = st.builds("{} {} {}".format, METHOD, TARGET, VERSION)
STATUS_LINE = st.builds(
    "{} {}{}".format,
    VERSION,
    st.one_of(st.integers(100, 999), st.sampled_from(["099", "20", "2000"])),
    st.sampled_from([" OK", " ", "", " No\tway", " é"]),
)


def plain_request(*lines: str, start: str = "GET / HTTP/1.1") -> bytes:
    return "\r\n".join([start, *lines, "", ""]).encode("latin-1")


def plain_response(*lines: str, start: str = "HTTP/1.1 200 OK") -> bytes:
    return plain_request(*lines, start=start)


@given(heads(REQUEST_LINE))
@example(plain_request("Host: a", "X: \x85\xa0", "Content-Length: 0"))
def test_what_the_fast_path_takes_h11_takes_too_and_reads_alike(head: bytes) -> None:
    try:
        fast = request_by_pattern(head)
    except BadMessage:
        return
    if fast is None:
        return
    slow = request_by_h11(head)
    assert (fast.method, fast.target, fast.framing, fast.keep_alive, fast.version) == (
        slow.method,
        slow.target,
        slow.framing,
        slow.keep_alive,
        slow.version,
    )
    assert fast.headers.fields == slow.headers.fields


@given(heads(STATUS_LINE), st.sampled_from(["GET", "HEAD"]))
def test_what_the_fast_path_takes_of_responses_h11_takes_too(head: bytes, method: str) -> None:
    try:
        fast = response_by_pattern(head, method)
    except BadMessage:
        return
    if fast is None:
        return
    slow = response_by_h11(head, method)
    assert (fast.status, fast.reason, fast.framing, fast.keep_alive) == (
        slow.status,
        slow.reason,
        slow.framing,
        slow.keep_alive,
    )
    assert fast.headers.fields == slow.headers.fields


@given(heads(REQUEST_LINE))
def test_what_we_accept_h11_alone_accepts(head: bytes) -> None:
    try:
        parse_request_head(head)
    except BadMessage:
        return
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(head)
    assert isinstance(connection.next_event(), h11.Request)


@given(st.binary(max_size=200))
def test_rubbish_is_refused_and_never_breaks_the_parser(rubbish: bytes) -> None:
    with pytest.raises(BadMessage):
        parse_request_head(rubbish + b"\x00\r\n\r\n")


def test_an_ordinary_request_takes_the_fast_path() -> None:
    head = request_by_pattern(plain_request("Host: a:8000", "Accept: */*", "Cookie: a=1", "Cookie: b=2"))
    assert head is not None
    assert head.headers.get("cookie") == "a=1, b=2"
    assert head.headers.all("cookie") == ["a=1", "b=2"]
    assert head.keep_alive
    assert head.framing == 0


@pytest.mark.parametrize(
    "lines",
    [
        ["Host: a", "Content-Length: 5", "Transfer-Encoding: chunked"],
        ["Host: a", "Content-Length: 5", "Content-Length: 5"],
        ["Host: a", "Content-Length: 5", "Content-Length: 6"],
        ["Host: a", "Content-Length: 5, 5"],
        ["Host: a", "Content-Length: +5"],
        ["Host: a", "Content-Length: -5"],
        ["Host: a", "Content-Length: 5_0"],
        ["Host: a", "Content-Length: 0x5"],
        ["Host: a", "Content-Length:"],
        ["Host: a", "Content-Length: 9999999999999999"],
        ["Host: a", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
        ["Host: a", "Transfer-Encoding: \x0bchunked"],
        ["Host: a", "Transfer-Encoding : chunked"],
        ["Host: a", "X: 1\r\n folded"],
        ["Host: a", "X: 1\nY: 2"],
        ["Host: a", "X: 1\rY: 2"],
        ["Host: a", "X: a\0b"],
        ["Host: a", ": nameless"],
        ["Host: a", "no colon"],
        ["Host: a", "Host: a"],
        ["Host: a", "Host: b"],
        ["Host: a/b"],
        ["Host: a@b"],
        ["X: no host"],
    ],
)
def test_ambiguous_requests_are_refused(lines: list[str]) -> None:
    with pytest.raises(BadMessage) as refused:
        parse_request_head(plain_request(*lines))
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (plain_request("Host: a", "Transfer-Encoding: gzip, chunked"), 501),
        (plain_request("Host: a", "Transfer-Encoding: identity"), 501),
        (plain_request("Transfer-Encoding: chunked", start="POST / HTTP/1.0"), 400),
        (plain_request("Host: a:1", start="CONNECT a:1 HTTP/1.1"), 501),
        (plain_request("Host: a", start="GET / HTTP/2.0"), 505),
        (plain_request("Host: a", start="GET /#fragment HTTP/1.1"), 400),
        (plain_request("Host: a", start="GET http://b/ HTTP/1.1"), 400),
        (plain_request("Host: a", start="GET * HTTP/1.1"), 400),
        (plain_request("Host: a", start="GET  / HTTP/1.1"), 400),
        (plain_request("Host: a", start="GET / HTTP/1.1 "), 400),
        (plain_request("Host: a", "Expect: 200-maybe"), 417),
        (plain_request("Host: a", *[f"X-{n}: 1" for n in range(100)]), 431),
    ],
)
def test_refusals_carry_the_status_to_answer(head: bytes, status: int) -> None:
    with pytest.raises(BadMessage) as refused:
        parse_request_head(head)
    assert refused.value.status == status


def test_an_absolute_target_becomes_a_path() -> None:
    head = parse_request_head(plain_request("Host: a:80", start="GET http://A:80?x=1 HTTP/1.1"))
    assert head.target == "/?x=1"


def test_http_1_0_closes_unless_asked_to_stay() -> None:
    assert not parse_request_head(plain_request(start="GET / HTTP/1.0")).keep_alive
    staying = plain_request("Connection: Keep-Alive", start="GET / HTTP/1.0")
    assert parse_request_head(staying).keep_alive


def test_header_spelling_survives() -> None:
    head = parse_request_head(plain_request("hOsT: a", "X-ODD: \xe9", "Transfer-Encoding: chunked"))
    assert head.headers.fields[:2] == [("hOsT", "a"), ("X-ODD", "\xe9")]
    assert head.framing == CHUNKED


@pytest.mark.parametrize(
    ("head", "method", "framing"),
    [
        (plain_response("Content-Length: 7"), "GET", 7),
        (plain_response("Content-Length: 7"), "HEAD", 0),
        (plain_response("Transfer-Encoding: chunked"), "GET", CHUNKED),
        (plain_response(), "GET", UNTIL_CLOSE),
        (plain_response("Content-Length: 7", start="HTTP/1.1 304 Not Modified"), "GET", 0),
        (plain_response(start="HTTP/1.1 204 No Content"), "GET", 0),
        (plain_response(start="HTTP/1.1 103 Early Hints"), "GET", 0),
        (plain_response("Content-Length: 7", start="HTTP/1.1 799 Odd"), "GET", 7),
        (plain_response("Content-Length: 7", start="HTTP/1.0 200 OK"), "GET", 7),
        (plain_response("Content-Length: 7", start="HTTP/1.1 200"), "GET", 7),
    ],
)
def test_response_framing(head: bytes, method: str, framing: int) -> None:
    assert parse_response_head(head, method).framing == framing


@pytest.mark.parametrize(
    "head",
    [
        plain_response("Content-Length: 7", "Transfer-Encoding: chunked"),
        plain_response("Content-Length: 7", "Content-Length: 8"),
        plain_response("Content-Length: -1"),
        plain_response("X: 1\r\n folded"),
        plain_response("X: 1\nSet-Cookie: a=1"),
        plain_response("X : 1"),
        plain_response(start="HTTP/1.1 101 Switching Protocols"),
        plain_response(start="HTTP/1.1 20 OK"),
        plain_response(start="ICY 200 OK"),
        plain_response("Content-Length: 7", start="HTTP/2.0 200 OK"),
    ],
)
def test_malformed_responses_are_refused(head: bytes) -> None:
    with pytest.raises(BadMessage):
        parse_response_head(head, "GET")


@pytest.mark.parametrize("field", [("X", "a\r\nB: c"), ("X\r\nB", "c"), ("X", "a\nb"), ("X", "a\0")])
def test_no_field_breaks_out_of_its_line(field: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="line break"):
        format_head("HTTP/1.1 200 OK", [field])


@pytest.mark.parametrize(
    "head",
    [
        plain_request("Host: a", "Authorization : Bearer SECRET"),
        plain_request("Host: a", "Author ization: Bearer SECRET"),
        plain_request("Host: a", start="GET /?token=SECRET x HTTP/1.1"),
        plain_request("Host: a", start="GET /?token=SECRET\xe9 HTTP/1.1"),
    ],
)
def test_a_refusal_never_quotes_the_head(head: bytes) -> None:
    with pytest.raises(BadMessage) as refused:
        parse_request_head(head)
    assert "SECRET" not in repr(refused.value)
    assert refused.value.__cause__ is None
