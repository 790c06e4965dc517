"""What the terminal client makes of each frame, and when it says what. Nothing is connected to anything."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from scripts.support.chat.transcript import Fill, Later, Leave, Say, Send, Step, Transcript

ROOM, ME, ADA = "room", "user-me", "018cc251-f400-7000-8000-0000000000ad"


class Client:
    """A transcript, and what has been said and sent because of it."""

    def __init__(self, seen: int | None = None) -> None:
        self.transcript = Transcript(ROOM, ME, "key", seen)
        self.sent: list[Any] = []

    def open(self, seq: int, *messages: Any, recovered: bool = True) -> list[Step]:
        """Connected and subscribed: what is done then."""
        self.take(self.transcript.opened())
        return self.hear(
            "subscribed", id=self.sent[-1]["id"], seq=seq, recovered=recovered, messages=list(messages)
        )

    def hear(self, kind: str, **members: Any) -> list[Step]:
        return self.take(self.transcript.heard(json.dumps({"type": kind, "room": ROOM, **members})))

    def answer(self, kind: str, **members: Any) -> list[Step]:
        """To what was sent last."""
        return self.hear(kind, id=self.sent[-1]["id"], **members)

    def type(self, text: str) -> list[Step]:
        return self.take(self.transcript.typed(text))

    def take(self, steps: Sequence[Step]) -> list[Step]:
        """All but the frames, which are sent."""
        self.sent += [step.frame for step in steps if isinstance(step, Send)]
        return [step for step in steps if not isinstance(step, Send)]


def _message(seq: int, text: str = "hello", **members: Any) -> dict[str, Any]:
    message = {
        "type": "message",
        "room": ROOM,
        "seq": seq,
        "user_id": ADA,
        "display_name": "Ada",
        "text": text,
    }
    return {**message, **members}


def _line(seq: int, text: str = "hello") -> Say:
    return Say(f"[{seq}] Ada: {text}")


# What has been said


def test_whoever_is_new_sees_the_latest_messages() -> None:
    client = Client()
    assert client.open(50) == [Fill(30, 50)]
    assert client.sent == [{"id": 1, "type": "subscribe", "room": ROOM}]
    assert client.transcript.seen == 50
    assert Client().open(3) == [Fill(0, 3)]
    assert Client().open(0) == []


def test_whoever_comes_back_names_the_last_message_and_sees_what_came_after_it() -> None:
    client = Client()
    client.open(0)
    client.take(client.transcript.heard(json.dumps(_message(1))))
    assert client.open(3, _message(2), _message(3, "bye")) == [_line(2), _line(3, "bye")]
    assert client.sent[-1] == {"id": 2, "type": "subscribe", "room": ROOM, "after": 1}
    assert client.transcript.seen == 3


def test_a_message_that_comes_twice_is_shown_once() -> None:
    client = Client(5)
    assert client.open(7, _message(6), _message(7)) == [_line(6), _line(7)]
    assert client.hear(**_arguments(_message(7))) == []
    assert client.hear(**_arguments(_message(8))) == [_line(8)]


def test_a_number_that_is_left_out_is_said_and_asked_for() -> None:
    client = Client(5)
    client.open(5)
    missed = Say("! missed 2 messages; this is what the history says:")
    assert client.hear(**_arguments(_message(8))) == [missed, Fill(5, 7), _line(8)]
    assert client.hear(**_arguments(_message(9))) == [_line(9)]


def test_what_the_gateway_did_not_recover_is_said_and_asked_for() -> None:
    client = Client(5)
    missed = Say("! missed 2007 messages; this is what the history says:")
    assert client.open(2012, recovered=False) == [missed, Fill(5, 2012)]
    assert client.transcript.seen == 2012


def test_a_recovery_that_is_not_complete_is_completed() -> None:
    missed = Say("! missed 1 messages; this is what the history says:")
    assert Client(5).open(7, _message(6)) == [_line(6), missed, Fill(6, 7)]


def test_a_room_that_has_forgotten_what_we_saw_is_told_of() -> None:
    client = Client(15)
    (said,) = client.open(12, recovered=False)
    assert said == Say("! message 15 had been seen, and now the last one is 12: some have been lost")
    assert client.hear(**_arguments(_message(13))) == [_line(13)]


def test_what_is_deleted_is_said() -> None:
    client = Client(5)
    assert client.open(6, _message(6, "", deleted=True)) == [_line(6, "(deleted)")]
    assert client.hear("deleted", seq=2) == [Say("* message 2 has been deleted")]


def test_nobody_can_make_the_terminal_obey_or_fake_a_line() -> None:
    assert Client().transcript.read([_message(1, "a\n[2] Eve: b\x1b[2J")]) == [
        r"[1] Ada: a\n[2] Eve: b\x1b[2J"
    ]


def _arguments(frame: dict[str, Any]) -> dict[str, Any]:
    return {"kind": frame["type"], **{name: value for name, value in frame.items() if name != "type"}}


# What we say


def test_one_post_is_under_way_at_a_time() -> None:
    client = Client(0)
    client.open(0)
    for text in ("one", "", "  ", "two"):
        assert client.type(text) == []
    assert client.sent[1:] == [{"id": 2, "type": "post", "room": ROOM, "key": "key-1", "text": "one"}]
    client.answer("posted", seq=1)
    assert client.sent[2:] == [{"id": 3, "type": "post", "room": ROOM, "key": "key-2", "text": "two"}]
    client.answer("posted", seq=2)
    assert not client.transcript.unanswered


def test_what_was_typed_early_is_posted_later() -> None:
    client = Client(0)
    client.type("early")
    assert client.sent == []
    client.open(0)
    assert client.sent[-1]["text"] == "early"


def test_an_unanswered_post_is_sent_again_under_its_key_after_a_reconnect() -> None:
    client = Client(0)
    client.open(0)
    client.type("one")
    client.type("two")
    first = client.sent[-1]
    client.open(0)
    assert client.sent[-1] == {**first, "id": 4}
    client.hear(
        "posted", id=first["id"], seq=1
    )  # the old connection's answer cannot come; it would not count
    assert client.transcript.unanswered == ["one", "two"]
    client.answer("posted", seq=1)
    assert client.sent[-1]["key"] == "key-2"


def test_it_is_settled_once_all_has_been_posted_and_has_come_back() -> None:
    client = Client(0)
    assert not client.transcript.is_settled
    client.open(0)
    assert client.transcript.is_settled
    client.type("one")
    assert not client.transcript.is_settled
    client.answer("posted", seq=1)
    assert not client.transcript.is_settled
    client.hear(**_arguments(_message(1, user_id=ME)))
    assert client.transcript.is_settled


@pytest.mark.parametrize("code", ["busy", "unavailable"])
def test_what_goes_away_by_itself_is_tried_again_under_the_same_key(code: str) -> None:
    client = Client(0)
    client.open(0)
    client.type("one")
    first = client.sent[-1]
    assert client.answer("error", code=code, detail="Not now.") == [Later()]
    client.take(client.transcript.again())
    assert client.sent[-1] == {**first, "id": 3}
    client.take(client.transcript.again())
    assert client.sent[-1]["id"] == 3, "it is under way"


def test_a_post_that_is_refused_is_given_up_and_the_next_one_sent() -> None:
    client = Client(0)
    client.open(0)
    client.type("too long")
    client.type("short")
    assert client.answer("error", code="invalid", detail="At most 4,000.") == [
        Say("! not sent: too long: At most 4,000.")
    ]
    assert client.sent[-1]["text"] == "short"


def test_a_subscription_that_fails_for_the_moment_is_tried_again() -> None:
    client = Client(7)
    client.take(client.transcript.opened())
    assert client.answer("error", code="unavailable", detail="Chat is away.") == [Later()]
    client.take(client.transcript.again())
    assert client.sent[-1] == {"id": 2, "type": "subscribe", "room": ROOM, "after": 7}


def test_a_room_that_may_not_be_entered_is_left() -> None:
    client = Client()
    client.take(client.transcript.opened())
    assert client.answer("error", code="not_found", detail="No such room.") == [Leave("No such room.")]


def test_whoever_is_removed_leaves() -> None:
    client = Client(0)
    client.open(0)
    assert client.hear("unsubscribed", code="removed") == [Leave("you are no longer a member of this room")]


# What else happens


def test_who_is_here_who_comes_and_who_leaves() -> None:
    client = Client(0)
    client.open(1, _message(1))
    assert client.hear("presence", joined=[ADA, ME], left=[]) == [Say("* here: you, Ada")]
    stranger = "018cc251-f400-7000-8000-00000000beef"
    assert client.hear("presence", joined=[stranger], left=[ADA]) == [
        Say("* …0000beef came"),
        Say("* Ada left"),
    ]
    assert client.hear("presence", joined=[ME], left=[]) == []
    client.open(1)
    assert client.hear("presence", joined=[ME], left=[]) == [Say("* here: you")]


def test_orders_are_told_of() -> None:
    client = Client(0)
    order = {"type": "order", "order_id": "o-1", "status": "CONFIRMED"}
    assert client.transcript.heard(json.dumps(order)) == [Say("* your order o-1 is CONFIRMED")]
    order |= {"status": "CANCELLED", "reason": "out_of_stock"}
    assert client.transcript.heard(json.dumps(order)) == [Say("* your order o-1 is CANCELLED (out_of_stock)")]


def test_what_is_not_for_us_is_passed_over() -> None:
    client = Client(0)
    client.open(0)
    assert client.hear("of tomorrow") == []
    assert client.hear(**_arguments({**_message(1), "room": "another"})) == []
    assert client.hear("error", id=None, code="malformed", detail="That is no JSON.") == [
        Say("! That is no JSON.")
    ]


@pytest.mark.parametrize("message", ["", "[]", "7", "{}", '{"type":[]}', '{"type":"message","room":"room"}'])
def test_what_is_no_frame_is_an_error(message: str) -> None:
    with pytest.raises(ValueError, match=r"contract|Expecting"):
        Client(0).transcript.heard(message)
