"""Offers as in RFC 7692 section 7.1, and what comes compressed, as in section 7.2."""

import tracemalloc
import zlib
from dataclasses import dataclass

import pytest
from wsproto.frame_protocol import CloseReason, FrameDecoder, Opcode, RsvBits

from shared.websocket.deflate import Deflate, MessageDeflate, choose_deflate, compress

LIMIT = 65_536
HELLO = bytes.fromhex("f2 48 cd c9 c9 07 00")  # section 7.2.3.1
END = b"\x00\x00\xff\xff"
BOTH = "client_no_context_takeover; server_no_context_takeover"


@pytest.mark.parametrize(
    ("offers", "agreed"),
    [
        ("permessage-deflate", Deflate()),
        ("Permessage-Deflate ; client_max_window_bits", Deflate()),
        ("permessage-deflate; client_max_window_bits; server_max_window_bits=10", Deflate(10)),  # 7.1.3
        ('permessage-deflate; server_max_window_bits="10"', Deflate(10)),
        ("permessage-deflate; server_no_context_takeover; client_no_context_takeover", Deflate()),
        ("permessage-deflate; client_max_window_bits=8", Deflate()),  # we can read what is packed closer
        ("permessage-deflate; server_max_window_bits=15", Deflate(15)),
        ("permessage-deflate; server_max_window_bits=9", Deflate(9)),
        ("permessage-deflate; server_max_window_bits=8, permessage-deflate", Deflate()),  # the second choice
        ("permessage-deflate; server_max_window_bits=12, permessage-deflate", Deflate(12)),
        ("deflate-frame, permessage-deflate; unknown, permessage-deflate", Deflate()),
    ],
)
def test_what_is_taken_up(offers: str, agreed: Deflate) -> None:
    assert choose_deflate(offers) == agreed


@pytest.mark.parametrize(
    "parameters",
    [
        "server_max_window_bits",  # only the client's may be without a value (7.1.2.1)
        "server_max_window_bits=8",  # allowed, but zlib cannot do it
        "server_max_window_bits=7",
        "server_max_window_bits=16",
        "server_max_window_bits=010",
        "server_max_window_bits=",
        "server_max_window_bits=a",
        "client_max_window_bits=7",
        "client_max_window_bits=",
        "client_no_context_takeover=1",
        "server_no_context_takeover=true",
        "client_no_context_takeover; client_no_context_takeover",
        "server_max_window_bits=10; server_max_window_bits=10",
        "unknown",
        "",
    ],
)
def test_an_offer_that_breaks_the_rules_is_declined(parameters: str) -> None:
    """Section 7.1."""
    assert choose_deflate(f"permessage-deflate; {parameters}") is None


@pytest.mark.parametrize("offers", ["", ",", "permessage-deflate-2", "deflate", "x; permessage-deflate"])
def test_another_extension_is_no_offer(offers: str) -> None:
    assert choose_deflate(offers) is None


def test_a_bound_on_our_window_is_confirmed_whatever_it_is() -> None:
    """Section 7.1.2.1: the answer names it, or the offer has not been accepted."""
    assert Deflate().parameters == BOTH
    assert Deflate(15).parameters == f"{BOTH}; server_max_window_bits=15"
    assert Deflate(9).parameters == f"{BOTH}; server_max_window_bits=9"


@pytest.mark.parametrize("bits", range(9, 16))
@pytest.mark.parametrize("data", [b"", b"Hello", b"Hello" * 50_000, bytes(range(256)) * 500])
def test_what_we_compress_fits_into_the_agreed_window(bits: int, data: bytes) -> None:
    packed = b"".join(compress(data, bits))
    assert not packed.endswith(END)
    assert zlib.decompressobj(-bits).decompress(packed + END) == data


def test_the_example_of_the_standard() -> None:
    assert b"".join(compress(b"Hello", 15)) == HELLO


# Reading


@dataclass
class Reader:
    """Hands frames to the extension as wsproto does."""

    extension: MessageDeflate

    def __post_init__(self) -> None:
        self._decoder = FrameDecoder(client=False)

    def frame(
        self, *pieces: bytes, opcode: Opcode = Opcode.TEXT, fin: bool = True, rsv1: bool = True
    ) -> bytes:
        """One frame's payload as it is after the extension; CloseReason is raised as LookupError."""
        rsv = RsvBits(rsv1, False, False)
        allowed = self.extension.frame_inbound_header(self._decoder, opcode, rsv, sum(map(len, pieces)))
        assert allowed.rsv1 or not rsv1
        read = [
            _inflated(self.extension.frame_inbound_payload_data(self._decoder, piece)) for piece in pieces
        ]
        return b"".join(read) + _inflated(self.extension.frame_inbound_complete(self._decoder, fin) or b"")


def _inflated(result: bytes | CloseReason) -> bytes:
    if isinstance(result, CloseReason):
        raise LookupError(result)
    return result


@pytest.fixture
def reader() -> Reader:
    return Reader(MessageDeflate(Deflate(), LIMIT))


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (HELLO, b"Hello"),  # 7.2.3.1
        (bytes.fromhex("00 05 00 fa ff 48 65 6c 6c 6f 00"), b"Hello"),  # 7.2.3.3: not compressed
        (bytes.fromhex("f3 48 cd c9 c9 07 00 00"), b"Hello"),  # 7.2.3.4: a last block
        (bytes.fromhex("f2 48 05 00 00 00 ff ff ca c9 c9 07 00"), b"Hello"),  # 7.2.3.5: two blocks
        (b"\x00", b""),  # 7.2.3.6
        (b"", b""),
    ],
)
def test_the_standards_payloads(reader: Reader, payload: bytes, message: bytes) -> None:
    assert reader.frame(payload) == message
    assert reader.frame(*(bytes([octet]) for octet in payload)) == message, "octet by octet"
    assert reader.frame(payload, opcode=Opcode.BINARY) == message


def test_fragments_with_a_ping_between(reader: Reader) -> None:
    """7.2.3.1, and RFC 6455 section 5.4."""
    begun = reader.frame(HELLO[:3], fin=False)
    assert reader.frame(b"ping", opcode=Opcode.PING, rsv1=False) == b"ping"
    assert begun + reader.frame(HELLO[3:], opcode=Opcode.CONTINUATION, rsv1=False) == b"Hello"


def test_an_uncompressed_message_between_compressed_ones(reader: Reader) -> None:
    assert reader.frame(HELLO) == b"Hello"
    assert reader.frame(HELLO, rsv1=False) == HELLO
    assert reader.frame(b"a", opcode=Opcode.CONTINUATION, rsv1=False) == b"a"
    assert reader.frame(HELLO) == b"Hello"


@pytest.mark.parametrize("opcode", [Opcode.CONTINUATION, Opcode.PING, Opcode.PONG, Opcode.CLOSE])
def test_only_a_messages_first_frame_says_that_it_is_compressed(reader: Reader, opcode: Opcode) -> None:
    """Section 6.1: wsproto refuses what is not allowed here."""
    rsv = RsvBits(True, False, False)
    assert reader.extension.frame_inbound_header(FrameDecoder(client=False), opcode, rsv, 1) == (False,) * 3


def test_no_window_outlives_a_message(reader: Reader) -> None:
    """What was agreed on: a client that refers back to the message before is at fault."""
    compressor = zlib.compressobj(wbits=-15)
    first, second = (
        compressor.compress(b"Hello" * 9) + compressor.flush(zlib.Z_SYNC_FLUSH) for _ in range(2)
    )
    assert reader.frame(first.removesuffix(END)) == b"Hello" * 9
    with pytest.raises(LookupError, match="1007"):
        reader.frame(second.removesuffix(END))


@pytest.mark.parametrize("size", [LIMIT - 1, LIMIT, LIMIT + 1])
def test_the_limit_is_exact(reader: Reader, size: int) -> None:
    packed = b"".join(compress(b"x" * size, 15))
    if size > LIMIT:
        with pytest.raises(LookupError, match="1009"):
            reader.frame(packed)
    else:
        assert len(reader.frame(packed)) == size


@pytest.mark.parametrize("pieces", [1, 3, 100])
def test_a_bomb_is_given_up_before_it_goes_off(reader: Reader, pieces: int) -> None:
    """16 kB become 16 MiB; of those, no more than the limit are ever made."""
    bomb = b"".join(compress(bytes(16 << 20), 15))
    assert len(bomb) < 17_000
    size = len(bomb) // pieces
    cut = [bomb[start : start + size] for start in range(0, len(bomb), size)]
    tracemalloc.start()
    with pytest.raises(LookupError, match="1009"):
        reader.frame(*cut)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 * LIMIT


def test_nothing_that_goes_on_for_ever_is_a_message(reader: Reader) -> None:
    """Empty blocks, each of which becomes nothing."""
    with pytest.raises(LookupError, match="1009"):
        reader.frame(*[(b"\x00" + END) * 1000] * 50)


def test_nothing_follows_the_last_block(reader: Reader) -> None:
    """zlib would keep it, and it would be lost to whoever reads the message."""
    with pytest.raises(LookupError, match="1007"):
        reader.frame(bytes.fromhex("f3 48 cd c9 c9 07 00") + HELLO)


def test_rubbish_cannot_be_inflated(reader: Reader) -> None:
    with pytest.raises(LookupError, match="1007"):
        reader.frame(b"\xff" * 20)


def test_our_control_frames_are_not_compressed() -> None:
    extension, nothing = MessageDeflate(Deflate(), 0), RsvBits(False, False, False)
    decoder = FrameDecoder(client=False)
    assert extension.frame_outbound(decoder, Opcode.PING, nothing, b"a" * 99, True) == (nothing, b"a" * 99)
    rsv, _ = extension.frame_outbound(decoder, Opcode.TEXT, nothing, b"a" * 99, True)
    assert rsv == (True, False, False)
