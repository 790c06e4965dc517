"""Where bodies end: the decoders alone, in every possible fragmentation."""

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.http.body import ChunkedDecoder, CloseDecoder, Decoder, LengthDecoder
from shared.http.head import BadMessage

PIECES = st.lists(st.binary(min_size=1, max_size=40), max_size=6)
CUTS = st.lists(st.integers(1, 9), min_size=1, max_size=5)
NEXT = b"GET /next HTTP/1.1\r\n"


def fragments(wire: bytes, cuts: list[int]) -> list[bytes]:
    """`wire` cut into pieces whose sizes repeat `cuts`."""
    result = []
    at = turn = 0
    while at < len(wire):
        size = cuts[turn % len(cuts)]
        result.append(wire[at : at + size])
        at, turn = at + size, turn + 1
    return result


def decode(decoder: Decoder, arriving: list[bytes]) -> tuple[bytes, bytes]:
    content = rest = b""
    for data in arriving:
        piece, rest = decoder.decode(rest + data)
        while piece:  # a decoder may stop early, so that others have their turn
            content += piece
            piece, rest = decoder.decode(rest)
    return content, rest


def chunked(pieces: list[bytes], trailer: bytes = b"") -> bytes:
    return b"".join(b"%X\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n" + trailer + b"\r\n"


@given(PIECES, CUTS, st.sampled_from([b"", b"X-T: 1\r\n", b"A: b\r\nC:\r\n"]))
def test_chunks_in_any_fragmentation(pieces: list[bytes], cuts: list[int], trailer: bytes) -> None:
    decoder = ChunkedDecoder()
    content, rest = decode(decoder, fragments(chunked(pieces, trailer) + NEXT, cuts))
    assert content == b"".join(pieces)
    assert decoder.finished
    assert rest == NEXT


@given(st.binary(max_size=40), CUTS)
def test_length_in_any_fragmentation(body: bytes, cuts: list[int]) -> None:
    decoder = LengthDecoder(len(body))
    content, rest = decode(decoder, fragments(body + NEXT, cuts))
    assert (content, rest, decoder.finished) == (body, NEXT, True)


def test_until_close_takes_everything() -> None:
    assert CloseDecoder().decode(b"abc") == (b"abc", b"")


@given(st.lists(st.sampled_from([b"0", b"5", b"a", b";", b"=", b'"', b"\r\n", b"\n", b" ", b"hello"])))
def test_what_we_accept_h11_accepts_too(symbols: list[bytes]) -> None:
    wire = b"".join(symbols)
    decoder = ChunkedDecoder()
    try:
        content, rest = decoder.decode(wire)
    except BadMessage:
        return
    if not decoder.finished:
        return
    reader = h11.Connection(h11.SERVER)
    reader.receive_data(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + wire)
    assert isinstance(reader.next_event(), h11.Request)
    seen = b""
    while isinstance(event := reader.next_event(), h11.Data):
        seen += bytes(event.data)
    assert isinstance(event, h11.EndOfMessage)
    assert (seen, reader.trailing_data[0]) == (content, rest)


@pytest.mark.parametrize(
    "wire",
    [
        b"5\nhello\n0\n\n",
        b"5\r\nhelloX\r\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"5 \r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"5;\r\nhello\r\n0\r\n\r\n",
        b"5;a=\x00\r\nhello\r\n0\r\n\r\n",
        b"5;a\nb\r\nhello\r\n0\r\n\r\n",
        b"\r\nhello\r\n0\r\n\r\n",
        b"0\r\nbroken trailer\r\n\r\n",
        b"0\r\nX: 1\r\n folded\r\n\r\n",
        b"fffffffffffff\r\n",
        b"1" * 2000,
        b"5;" + b"a" * 2000,
        (b"1;" + b"a" * 1000 + b"\r\nx\r\n") * 17,
        b"0\r\n" + b"a" * 9000,
        b"0\r\n" + b"a: b\r\n" * 3000,
    ],
)
def test_unclear_chunks_are_refused(wire: bytes) -> None:
    decoder = ChunkedDecoder()
    with pytest.raises(BadMessage):
        decode(decoder, [wire])


def test_extensions_are_checked_and_ignored() -> None:
    content, rest = ChunkedDecoder().decode(b'5;a=b;c="d;\\"e";f\r\nhello\r\n0\r\n\r\n')
    assert (content, rest) == (b"hello", b"")


def test_many_tiny_chunks_are_decoded_a_part_at_a_time() -> None:
    wire = chunked([b"x"] * 5000)
    content, rest = ChunkedDecoder().decode(wire)
    assert 0 < len(content) < 5000
    assert decode(ChunkedDecoder(), [wire]) == (b"x" * 5000, b"")
    assert rest
