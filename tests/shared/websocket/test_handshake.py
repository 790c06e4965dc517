"""The rules of RFC 6455 section 4.2.1, one by one."""

import pytest

from shared.http.messages import Fields, Headers, NoBody, Request, WholeBody
from shared.http.problems import HTTPError
from shared.websocket.deflate import Deflate
from shared.websocket.handshake import Handshake, accepting_fields, read_handshake

KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # section 1.3
GOOD: Fields = [
    ("Host", "server.example.com"),
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", KEY),
    ("Origin", "http://example.com"),
    ("Sec-WebSocket-Version", "13"),
]


def request(
    *others: tuple[str, str], without: str = "", method: str = "GET", version: str = "1.1"
) -> Request:
    """A good one, with `others` instead of fields of the same names."""
    replaced = {without, *(name for name, _ in others)}
    fields = [field for field in GOOD if field[0] not in replaced]
    return Request(method, "/chat", Headers([*fields, *others]), NoBody(), version=version)


def refusal(bad: Request) -> HTTPError:
    with pytest.raises(HTTPError) as refused:
        read_handshake(bad)
    return refused.value


def test_the_example_of_the_standard() -> None:
    handshake = read_handshake(request())
    assert handshake == Handshake(KEY, None, "http://example.com")
    assert accepting_fields(handshake) == [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
    ]


@pytest.mark.parametrize(
    "fields",
    [
        [("Upgrade", "WebSocket")],
        [("Upgrade", "h2c, websocket")],
        [("Upgrade", "h2c"), ("Upgrade", "websocket")],
        [("Connection", "upgrade")],
        [("Connection", "keep-alive, Upgrade")],  # Firefox
        [("Connection", "keep-alive"), ("Connection", " UPGRADE ,")],
        [("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAB==")],  # bits beyond the sixteenth octet
        [("Sec-WebSocket-Protocol", "chat, superchat")],  # none of them is chosen
        [("Content-Length", "0")],
    ],
    ids=str,
)
def test_names_come_in_lists_and_in_any_case(fields: Fields) -> None:
    assert read_handshake(request(*fields)).origin == "http://example.com"


def test_an_origin_may_be_missing() -> None:
    assert read_handshake(request(without="Origin")).origin is None


@pytest.mark.parametrize("method", ["HEAD", "POST", "OPTIONS", "get"])
def test_only_get_opens_a_socket(method: str) -> None:
    refused = refusal(request(method=method))
    assert (refused.status, refused.headers) == (405, [("Allow", "GET")])


@pytest.mark.parametrize(
    "bad",
    [
        request(version="1.0"),
        request(without="Upgrade"),
        request(("Upgrade", "websockets")),
        request(("Upgrade", "web, socket")),
        request(("Upgrade", "websocket/13")),
        request(without="Sec-WebSocket-Version"),
        *(request(("Sec-WebSocket-Version", version)) for version in ("8", "0", "14", "013", "13, 8", "")),
        request(("Sec-WebSocket-Version", "8"), ("Sec-WebSocket-Version", "13")),
    ],
)
def test_another_protocol_or_version_is_told_what_is_spoken_here(bad: Request) -> None:
    """Section 4.4, and RFC 9110 section 15.5.22."""
    refused = refusal(bad)
    assert refused.status == 426
    assert dict(refused.headers) == {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
    }


@pytest.mark.parametrize("connection", ["keep-alive", "close", "Upgraded", "websocket", ""])
def test_connection_must_name_upgrade(connection: str) -> None:
    """Who forwards the request hop by hop would not pass it on."""
    assert refusal(request(("Connection", connection))).status == 400
    assert refusal(request(without="Connection")).status == 400


@pytest.mark.parametrize(
    "key",
    [
        "",
        "dGhlIHNhbXBsZSBub25jZQ",  # no padding
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25j",  # 15 octets
        "dGhlIHNhbXBsZSBub25jZSE=",  # 17 octets
        "dGhlIHNhbXBs ZSBub25jZQ==",
        "dGhlIHNhbXBsZSBub25-_Q==",  # another alphabet
        "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==",
        "dGhlIHNhbXBsZSBub25j\xe9Q==",  # no ASCII
    ],
)
def test_the_key_is_sixteen_octets(key: str) -> None:
    assert refusal(request(("Sec-WebSocket-Key", key))).status == 400


def test_the_key_is_there_once() -> None:
    assert refusal(request(without="Sec-WebSocket-Key")).status == 400
    assert refusal(request(("Sec-WebSocket-Key", KEY), ("Sec-WebSocket-Key", KEY))).status == 400


@pytest.mark.parametrize("length", [1, None])
def test_there_is_no_body(length: int | None) -> None:
    bad = request()
    bad.body = WholeBody(b"x")
    bad.body.length = length
    assert refusal(bad).status == 400


def test_compression_is_agreed_on_when_it_is_offered() -> None:
    offers = [
        ("Sec-WebSocket-Extensions", "x-webkit-deflate-frame"),
        ("Sec-WebSocket-Extensions", "permessage-deflate; server_max_window_bits=10"),
    ]
    handshake = read_handshake(request(*offers))
    assert handshake.deflate == Deflate(10)
    agreed = f"permessage-deflate; {Deflate(10).parameters}"
    assert accepting_fields(handshake)[-1] == ("Sec-WebSocket-Extensions", agreed)


def test_an_unknown_extension_is_passed_over() -> None:
    handshake = read_handshake(request(("Sec-WebSocket-Extensions", "foo; bar=1, permessage-bzip2")))
    assert handshake.deflate is None
    assert "Sec-WebSocket-Extensions" not in dict(accepting_fields(handshake))
