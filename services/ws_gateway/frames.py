"""What is said on a socket: JSON text, one object a frame. Requests are read here, and answers written.

    {"id": 1, "type": "subscribe", "room": "018f…", "after": 12}
    {"id": 2, "type": "post", "room": "018f…", "key": "c1-17", "text": "hello"}
    {"id": 3, "type": "unsubscribe", "room": "018f…"}

Every answer to a request echoes its `id`. A frame is put into octets once, for all who get it.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from services.ws_gateway.domain.chat import Message
from shared.errors import ApplicationError
from shared.ids import parse_id
from shared.websocket.encoding import Encoded

MOST_SEQ = 2**53 - 1  # what every JSON reader can tell apart
MOST_CHARACTERS = 8_000  # of what chat is asked to judge: it takes half of that, and says why

Id = Annotated[int, msgspec.Meta(ge=-MOST_SEQ, le=MOST_SEQ)] | Annotated[str, msgspec.Meta(max_length=100)]


class RoomRequest(msgspec.Struct, tag_field="type"):
    """What every request has. Members that we do not know change nothing."""

    room: str
    id: Id | None = None


class Subscribe(RoomRequest, tag="subscribe"):
    """Hear what is said in a room: from now on, or after the message that was seen last."""

    after: Annotated[int, msgspec.Meta(ge=0, le=MOST_SEQ)] | None = None


class Unsubscribe(RoomRequest, tag="unsubscribe"):
    """Hear no more of it."""


class Post(RoomRequest, tag="post", kw_only=True):
    """Say something. Whoever got no answer says it again with the same key."""

    key: Annotated[str, msgspec.Meta(max_length=MOST_CHARACTERS)]
    text: Annotated[str, msgspec.Meta(max_length=MOST_CHARACTERS)]


class Unreadable(ApplicationError):
    """A frame that is no request of ours. `id` is the frame's own, where it could be told."""

    code = "malformed"

    def __init__(self, detail: str, frame_id: Id | None, code: str) -> None:
        super().__init__(detail, code=code)
        self.id = frame_id


class _Outline(msgspec.Struct):
    """As much as an answer to an unreadable request needs of it."""

    id: Id | None = None
    type: str = ""


Request = Subscribe | Unsubscribe | Post

_requests: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)
_outlines = msgspec.json.Decoder(_Outline)
_TYPES = ("subscribe", "unsubscribe", "post")


def read_request(text: str) -> Request:
    """The request that `text` makes, its room in canonical form. Raises Unreadable."""
    try:
        request = _requests.decode(text)
    except (msgspec.DecodeError, RecursionError) as broken:
        outline = _outline(text)
        is_known = outline.type in _TYPES or not outline.type
        raise Unreadable(str(broken), outline.id, "malformed" if is_known else "unknown_type") from broken
    room_id = parse_id(request.room)
    if room_id is None:
        raise Unreadable("There is no such room.", request.id, "not_found")
    request.room = str(room_id)
    return request


def _outline(text: str) -> _Outline:
    try:
        return _outlines.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return _Outline()


# Answers


def subscribed(request: Subscribe, seq: int, messages: Sequence[Message], *, recovered: bool) -> Encoded:
    """The room's number from which on everything will come; what came before, if all of it is here."""
    frame = {"seq": seq, "recovered": recovered, "messages": [_message(each) for each in messages]}
    if not recovered:
        after = request.after if request.after is not None and request.after <= seq else 0
        frame["history"] = f"/chat/rooms/{request.room}/messages?after={after}"
    return _answer(request, "subscribed", **frame)


def unsubscribed(request: Unsubscribe) -> Encoded:
    """As wished."""
    return _answer(request, "unsubscribed")


def posted(request: Post, seq: int) -> Encoded:
    """It has been said, with this number."""
    return _answer(request, "posted", seq=seq)


def error(frame_id: Id | None, code: str, detail: str) -> Encoded:
    """A request has failed."""
    given = {} if frame_id is None else {"id": frame_id}
    return _encode({**given, "type": "error", "code": code, "detail": detail})


# News


def message(what: Message) -> Encoded:
    """Somebody has said something."""
    return _encode(_message(what))


def deleted(room_id: str, seq: int) -> Encoded:
    """Somebody's message was taken back."""
    return _encode({"type": "deleted", "room": room_id, "seq": seq})


def presence(room_id: str, joined: Sequence[str], left: Sequence[str]) -> Encoded:
    """Who has come and who has gone."""
    return _encode({"type": "presence", "room": room_id, "joined": list(joined), "left": list(left)})


def removed(room_id: str) -> Encoded:
    """The subscription has ended, because the user may not know of the room any more."""
    return _encode({"type": "unsubscribed", "room": room_id, "code": "removed"})


def order(order_id: str, status: str, reason: str) -> Encoded:
    """What has become of an order of the user's."""
    why = {"reason": reason} if reason else {}
    return _encode({"type": "order", "order_id": order_id, "status": status, **why})


def _message(what: Message) -> dict[str, Any]:
    frame = {
        "type": "message",
        "room": what.room_id,
        "seq": what.seq,
        "user_id": what.user_id,
        "display_name": what.display_name,
        "text": what.text,
        "at": what.at,
    }
    return {**frame, "deleted": True} if what.deleted else frame


def _answer(request: RoomRequest, kind: str, **members: object) -> Encoded:
    given = {} if request.id is None else {"id": request.id}
    return _encode({**given, "type": kind, "room": request.room, **members})


def _encode(frame: dict[str, Any]) -> Encoded:
    return Encoded(msgspec.json.encode(frame).decode())
