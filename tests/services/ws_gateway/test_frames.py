"""What is said on a socket, read and written."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ws_gateway import frames
from services.ws_gateway.domain.chat import Message
from services.ws_gateway.frames import MOST_SEQ, Post, Subscribe, Unreadable, Unsubscribe, read_request
from tests.services.ws_gateway.fakes import TEA, content_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
MEMBERS = ("id", "type", "room", "after", "key", "text")
USUAL = st.sampled_from(["subscribe", "unsubscribe", "post", TEA, 0, 1])


def request(**members: object) -> str:
    return json.dumps({"id": 1, "type": "subscribe", "room": TEA, **members})


def refusal(text: str) -> tuple[str, object]:
    """The code of it, and the id that the answer carries."""
    with pytest.raises(Unreadable) as refused:
        read_request(text)
    assert refused.value.detail
    return refused.value.code, refused.value.id


# Requests


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (request(), Subscribe(room=TEA, id=1)),
        (request(after=0), Subscribe(room=TEA, id=1, after=0)),
        (request(after=MOST_SEQ, id="a"), Subscribe(room=TEA, id="a", after=MOST_SEQ)),
        (request(after=None, id=None), Subscribe(room=TEA)),
        (request(type="unsubscribe", id=-7), Unsubscribe(room=TEA, id=-7)),
        (request(type="post", key="k", text="héllo 🎉"), Post(room=TEA, id=1, key="k", text="héllo 🎉")),
        (request(type="post", key="", text="", after="whatever"), Post(room=TEA, id=1, key="", text="")),
        (request(room=TEA.upper(), unknown={"a": [1]}), Subscribe(room=TEA, id=1)),
        (f'{{"room":"{TEA}","type":"subscribe","id":1,"id":2}}', Subscribe(room=TEA, id=2)),
        (f' \n{{ "room" : "{TEA}" , "type":"\\u0073ubscribe"}} ', Subscribe(room=TEA)),
    ],
)
def test_a_request_is_read(text: str, expected: frames.Request) -> None:
    assert read_request(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "{",
        "nul",
        "[]",
        "1",
        '"subscribe"',
        "{}",
        "\ufeff{}",
        "{'id': 1}",
        request() + "x",
        "[" * 65_000,
        '{"type":' * 8_000,
        request(id=7)[:-1] + f', "x": {"[" * 30_000}{"]" * 30_000}}}',
        request(id=True),
        request(id=1.5),
        request(id=[1]),
        request(id={}),
        request(id=2**53),
        request(id=-(2**53)),
        request(id=10**400),
        request(id="x" * 101),
        request()[:-1] + ', "id": 1e999}',
        request(type=5),
        request(type=None),
        request()[:-1] + ', "room": "\\ud800"}',
    ],
)
def test_what_is_no_request_is_malformed_and_has_no_id(text: str) -> None:
    assert refusal(text) == ("malformed", None)


@pytest.mark.parametrize(
    "members",
    [
        {"room": 5},
        {"room": None},
        {"after": -1},
        {"after": "1"},
        {"after": 1.5},
        {"after": True},
        {"after": 2**53},
        {"after": 10**400},
        {"type": "post"},
        {"type": "post", "key": 1, "text": "x"},
        {"type": "post", "key": "k"},
        {"type": "post", "key": "k", "text": None},
        {"type": ""},
    ],
)
def test_a_request_with_a_bad_member_is_malformed_and_keeps_its_id(members: dict[str, object]) -> None:
    assert refusal(request(**members)) == ("malformed", 1)


def test_a_request_without_a_room_is_malformed() -> None:
    assert refusal('{"id": "a", "type": "subscribe"}') == ("malformed", "a")


@pytest.mark.parametrize("kind", ["sing", "Subscribe", "subscribed", "error"])
def test_an_unknown_type_is_named_as_such(kind: str) -> None:
    assert refusal(request(type=kind, id="a")) == ("unknown_type", "a")
    assert refusal(json.dumps({"type": kind})) == ("unknown_type", None)


@pytest.mark.parametrize(
    "room", ["", "tea", "../etc", TEA.replace("-", ""), f"{{{TEA}}}", TEA + "\n", "\x00", "1"]
)
def test_a_room_that_cannot_be_is_not_found(room: str) -> None:
    for kind in ("subscribe", "unsubscribe"):
        assert refusal(request(room=room, type=kind)) == ("not_found", 1)


@given(
    JSON.map(json.dumps)
    | st.text()
    | st.fixed_dictionaries({}, optional=dict.fromkeys(MEMBERS, USUAL | JSON)).map(json.dumps)
)
def test_whatever_comes_is_a_request_or_unreadable(text: str) -> None:
    try:
        read = read_request(text)
    except Unreadable as unreadable:
        content_of(frames.error(unreadable.id, unreadable.code, unreadable.detail))
    else:
        assert read.room == read.room.lower()


# Answers and news


def message(**changes: Any) -> Message:
    values = {
        "room_id": TEA,
        "seq": 3,
        "user_id": "u",
        "display_name": "Ada",
        "text": "“hi”\n\x00",
        "at": "2026",
    }
    return Message(**{**values, **changes})


MESSAGE = {
    "type": "message",
    "room": TEA,
    "seq": 3,
    "user_id": "u",
    "display_name": "Ada",
    "text": "“hi”\n\x00",
    "at": "2026",
}


def test_a_message_is_told() -> None:
    assert content_of(frames.message(message())) == MESSAGE
    assert content_of(frames.message(message(text="", deleted=True))) == {
        **MESSAGE,
        "text": "",
        "deleted": True,
    }


def test_an_answer_carries_the_id_of_its_request_if_there_was_one() -> None:
    asked = Subscribe(room=TEA, id="a", after=2)
    told = {"type": "subscribed", "room": TEA, "seq": 3, "recovered": True, "messages": [MESSAGE]}
    assert content_of(frames.subscribed(asked, 3, [message()], recovered=True)) == {"id": "a", **told}
    assert content_of(frames.subscribed(Subscribe(room=TEA), 3, [message()], recovered=True)) == told
    assert content_of(frames.unsubscribed(Unsubscribe(room=TEA, id=0))) == {
        "id": 0,
        "type": "unsubscribed",
        "room": TEA,
    }
    assert content_of(frames.posted(Post(room=TEA, id=4, key="k", text="t"), 9)) == {
        "id": 4,
        "type": "posted",
        "room": TEA,
        "seq": 9,
    }


def test_a_past_that_is_not_here_is_pointed_at() -> None:
    told = content_of(frames.subscribed(Subscribe(room=TEA, after=5), 2012, [], recovered=False))
    assert (told["recovered"], told["messages"]) == (False, [])
    assert told["history"] == f"/chat/rooms/{TEA}/messages?after=5"


def test_an_error_says_what_and_of_which_request() -> None:
    assert content_of(frames.error(3, "busy", "Wait.")) == {
        "id": 3,
        "type": "error",
        "code": "busy",
        "detail": "Wait.",
    }
    assert "id" not in content_of(frames.error(None, "busy", "Wait."))


def test_news_carry_no_id() -> None:
    assert content_of(frames.deleted(TEA, 3)) == {"type": "deleted", "room": TEA, "seq": 3}
    assert content_of(frames.removed(TEA)) == {"type": "unsubscribed", "room": TEA, "code": "removed"}
    assert content_of(frames.presence(TEA, ("a",), ())) == {
        "type": "presence",
        "room": TEA,
        "joined": ["a"],
        "left": [],
    }


def test_an_order_has_a_reason_only_when_there_is_one() -> None:
    assert content_of(frames.order("o", "CONFIRMED", "")) == {
        "type": "order",
        "order_id": "o",
        "status": "CONFIRMED",
    }
    assert content_of(frames.order("o", "CANCELLED", "out_of_stock"))["reason"] == "out_of_stock"
