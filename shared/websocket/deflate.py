"""Compressed messages: permessage-deflate (RFC 7692), the server's side. Pure.

We always ask for no context takeover, of both sides. So no zlib state outlives a message, which would be some
300 kB for each idle connection; and a message looks the same to all its receivers, so it is compressed once.
What a message becomes when it is inflated is bounded: a thousandth of it may have been sent. So is what is
sent of it: a stream of empty blocks goes on for ever and becomes nothing.
"""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from wsproto.extensions import Extension
from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, RsvBits

EXTENSION = "permessage-deflate"
MOST_WINDOW_BITS = 15
LEAST_WINDOW_BITS = 9  # RFC 7692 allows 8, zlib does not

_END_OF_BLOCK = b"\x00\x00\xff\xff"  # left out on the wire (section 7.2.1)
_EMPTY_BLOCK = b"\x00" + _END_OF_BLOCK  # may follow a last block (section 7.2.3.4); nothing else
_LONGEST = 2, 1024  # compressed, at most so many times as long as it becomes, and so many bytes more
_FLAGS = ("client_no_context_takeover", "server_no_context_takeover")
_OFFER = re.compile(r'(?:[^,"]|"[^"]*")+')  # between commas, but for those in quotes
_VALUE = re.compile(r'"([^"]*)"|([^"]*)')
_BITS = re.compile(r"[89]|1[0-5]")
_COMPRESSED, _NOTHING_RESERVED = RsvBits(True, False, False), RsvBits(False, False, False)


@dataclass(frozen=True, slots=True)
class Deflate:
    """What was agreed on: the client may have asked for a bound on how far back our compression refers."""

    server_max_window_bits: int | None = None

    @property
    def window_bits(self) -> int:
        """How far that is, as a power of two of bytes."""
        return self.server_max_window_bits or MOST_WINDOW_BITS

    @property
    def parameters(self) -> str:
        """Our answer to the offer. A bound that was asked for is always named (section 7.1.2.1)."""
        bits = self.server_max_window_bits
        return "; ".join(_FLAGS) + ("" if bits is None else f"; server_max_window_bits={bits}")


def choose_deflate(offers: str) -> Deflate | None:
    """The first of a client's `offers` (Sec-WebSocket-Extensions) that we can take up, if any."""
    return next(filter(None, map(_take_up, _OFFER.findall(offers))), None)


def _take_up(offer: str) -> Deflate | None:
    """None for another extension, and for one whose parameters break the rules of section 7.1."""
    name, *parameters = (part.strip() for part in offer.split(";"))
    if name.lower() != EXTENSION:
        return None
    given = list(map(_parameter, parameters))
    values = dict(given)
    if len(values) < len(given) or not all(_is_good(*each) for each in given):
        return None
    if (bits := values.get("server_max_window_bits")) is None:
        return Deflate()
    return Deflate(int(bits)) if int(bits) >= LEAST_WINDOW_BITS else None


def _parameter(text: str) -> tuple[str, str | None]:
    name, equals, value = text.partition("=")
    found = _VALUE.fullmatch(value.strip())
    return name.strip().lower(), (found[1] or found[2] if found else "") if equals else None


def _is_good(name: str, value: str | None) -> bool:
    if name in _FLAGS:
        return value is None
    if name == "client_max_window_bits" and value is None:
        return True
    is_known = name in ("client_max_window_bits", "server_max_window_bits")
    return is_known and value is not None and _BITS.fullmatch(value) is not None


def compress(data: bytes, window_bits: int) -> Iterator[bytes]:
    """One message's payload, compressed, in pieces."""
    compressor = zlib.compressobj(wbits=-window_bits)
    yield compressor.compress(data)
    yield compressor.flush(zlib.Z_SYNC_FLUSH).removesuffix(_END_OF_BLOCK)


class MessageDeflate(Extension):
    """What wsproto asks while it reads and writes one connection's frames.

    A message that inflates to more than `limit` bytes is given up as too big before it has got there.
    """

    name = EXTENSION

    def __init__(self, deflate: Deflate, limit: int) -> None:
        self._window_bits = deflate.window_bits
        self._limit = limit
        self._inflater: zlib._Decompress | None = None  # of the message that is being read, if compressed
        self._received = 0  # bytes of it, so far
        self._inflated = 0  # bytes that they have become
        self._is_control = False  # the frame that is being read

    def enabled(self) -> bool:
        """It is: otherwise it would not have been made."""
        return True

    def offer(self) -> bool:
        """Servers offer nothing."""
        return False

    def frame_inbound_header(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> RsvBits:
        """Which reserved bits a frame may have. Asked twice when its header comes in two pieces."""
        self._is_control = opcode.iscontrol()
        if self._is_control or opcode is Opcode.CONTINUATION:
            return _NOTHING_RESERVED
        self._inflater = zlib.decompressobj(-MOST_WINDOW_BITS) if rsv.rsv1 else None
        self._received = self._inflated = 0
        return _COMPRESSED

    def frame_inbound_payload_data(
        self, proto: FrameDecoder | FrameProtocol, data: bytes
    ) -> bytes | CloseReason:
        """Some of a frame's payload, inflated."""
        return data if self._is_control or self._inflater is None else self._inflate(self._inflater, data)

    def frame_inbound_complete(
        self, proto: FrameDecoder | FrameProtocol, fin: bool
    ) -> bytes | CloseReason | None:
        """What is still to come of a message, at the end of its last frame."""
        if self._is_control or self._inflater is None or not fin:
            return None
        inflater, self._inflater = self._inflater, None
        return self._inflate(inflater, _END_OF_BLOCK)

    def _inflate(self, inflater: "zlib._Decompress", data: bytes) -> bytes | CloseReason:
        room = self._limit - self._inflated
        try:
            inflated = inflater.decompress(data, room + 1)
        except zlib.error:
            return CloseReason.INVALID_FRAME_PAYLOAD_DATA
        self._received += len(data)
        self._inflated += len(inflated)
        times, more = _LONGEST
        if len(inflated) > room or self._received > times * self._limit + more:
            return CloseReason.MESSAGE_TOO_BIG
        if len(inflater.unused_data) > len(_EMPTY_BLOCK):  # zlib keeps what it does not read
            return CloseReason.INVALID_FRAME_PAYLOAD_DATA
        return inflated

    def frame_outbound(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, data: bytes, fin: bool
    ) -> tuple[RsvBits, bytes]:
        """A frame to be sent. Ours are whole messages, or control frames, which are never compressed."""
        if opcode.iscontrol():
            return rsv, data
        return _COMPRESSED, b"".join(compress(data, self._window_bits))
