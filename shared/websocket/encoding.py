"""A message on its way out: turned into a frame once, however many receivers it has. Pure.

A server's frames are not masked (RFC 6455 section 5.1) and carry no context (see deflate.py), so the same
octets are right for everybody who has agreed on the same compression.
"""

from functools import cache

from wsproto.frame_protocol import FrameProtocol

from shared.websocket.deflate import Deflate, MessageDeflate

WORTH_COMPRESSING_BYTES = 200  # less hardly shrinks, and every receiver would pay for it


class Encoded:
    """The frames of one message: text (str) or binary (bytes)."""

    __slots__ = ("_frames", "_message")

    def __init__(self, message: str | bytes) -> None:
        self._message = message
        self._frames: dict[Deflate | None, bytes] = {}

    @property
    def size(self) -> int:
        """Bytes of the message, uncompressed."""
        return size_of(self._message)

    def frame(self, deflate: Deflate | None) -> bytes:
        """For a receiver who has agreed on `deflate`."""
        frame = self._frames.get(deflate)
        if frame is None:
            worthwhile = len(self._message) >= WORTH_COMPRESSING_BYTES
            frame = bytes(_writer(deflate if worthwhile else None).send_data(self._message))
            self._frames[deflate] = frame
        return frame


@cache
def _writer(deflate: Deflate | None) -> FrameProtocol:
    """It keeps nothing from one whole message to the next, so that one will do for each agreement."""
    extensions = [] if deflate is None else [MessageDeflate(deflate, limit=0)]
    return FrameProtocol(client=False, extensions=[*extensions])


def size_of(message: str | bytes) -> int:
    """In bytes; text counts as UTF-8."""
    return len(message) if isinstance(message, bytes) or message.isascii() else len(message.encode())
