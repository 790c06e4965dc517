"""The rules of rooms and messages, without anything that keeps them."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from services.chat.domain.messages import (
    MAX_KEY_CHARACTERS,
    MAX_TEXT_CHARACTERS,
    Message,
    MessageDeleted,
    key_fault,
    text_fault,
    tidied,
)
from services.chat.domain.rooms import (
    MAX_NAME_CHARACTERS,
    Access,
    Asker,
    MemberAdded,
    MemberRemoved,
    Room,
    create_room,
    known,
    name_fault,
)
from shared.errors import Conflict, Forbidden, NotFound
from tests.services.chat.talking import ADMIN, ANN, BEN, CEM, draft

ROOM = create_room(UUID(int=100), " Tea\u0301 ", ANN.user_id, private=True).room
SAID = Message(ROOM.room_id, 7, BEN.user_id, "Ben", "hello", datetime(2026, 5, 1, tzinfo=UTC))


def access(asker: Asker, *, is_member: bool, private: bool = True) -> Access:
    return Access(replace(ROOM, private=private), asker, is_member)


OWNER, MEMBER, STRANGER = (
    access(ANN, is_member=True),
    access(BEN, is_member=True),
    access(CEM, is_member=False),
)
IN_CHARGE = [OWNER, access(ADMIN, is_member=False)]


# Who may do what


def test_a_new_room_is_empty_and_its_name_tidy() -> None:
    assert Room(UUID(int=100), "Te\u00e1", True, ANN.user_id, last_seq=0) == ROOM


def test_a_private_room_is_for_its_members_and_admins() -> None:
    assert [each.may_know for each in (*IN_CHARGE, MEMBER, STRANGER)] == [True, True, True, False]
    assert access(CEM, is_member=False, private=False).may_know


@pytest.mark.parametrize("hidden", [STRANGER, None])
def test_what_somebody_may_not_know_of_does_not_exist(hidden: Access | None) -> None:
    with pytest.raises(NotFound):
        known(hidden)
    assert known(MEMBER) is MEMBER


@pytest.mark.parametrize("host", IN_CHARGE)
def test_who_is_in_charge_says_who_belongs_to_the_room(host: Access) -> None:
    assert host.add(CEM.user_id, is_member=False) == MemberAdded(ROOM.room_id, CEM.user_id)
    assert host.add(CEM.user_id, is_member=True) is None
    assert host.remove(CEM.user_id, is_member=True) == MemberRemoved(ROOM.room_id, CEM.user_id)
    assert host.remove(CEM.user_id, is_member=False) is None


def test_others_may_leave_and_no_more() -> None:
    assert MEMBER.remove(BEN.user_id, is_member=True) == MemberRemoved(ROOM.room_id, BEN.user_id)
    for user in (BEN, CEM):
        with pytest.raises(Forbidden):
            MEMBER.add(user.user_id, is_member=False)
    for user in (ANN, CEM):
        with pytest.raises(Forbidden):
            MEMBER.remove(user.user_id, is_member=True)


@pytest.mark.parametrize("host", IN_CHARGE)
def test_the_owner_stays(host: Access) -> None:
    with pytest.raises(Conflict) as refused:
        host.remove(ANN.user_id, is_member=True)
    assert refused.value.code == "owner-stays"


@pytest.mark.parametrize("somebody", [*IN_CHARGE, MEMBER])
def test_author_owner_and_admin_may_delete_a_message(somebody: Access) -> None:
    tombstone = replace(SAID, text="", deleted=True)
    assert SAID.delete(somebody) == MessageDeleted(tombstone, somebody.asker.user_id)
    assert tombstone.delete(somebody) is None


def test_others_may_not_not_even_again() -> None:
    for message in (SAID, replace(SAID, text="", deleted=True)):
        with pytest.raises(Forbidden):
            message.delete(access(CEM, is_member=True))


# One key, one message


def test_the_same_message_under_its_key_is_the_one_that_there_is() -> None:
    assert SAID.answering(draft(ROOM.room_id, "k", "hello", "Benjamin")) is SAID


def test_another_text_under_its_key_is_refused_while_anybody_knows_the_first() -> None:
    other = draft(ROOM.room_id, "k", "Hello")
    with pytest.raises(Conflict) as refused:
        SAID.answering(other)
    assert refused.value.code == "key-reused"
    tombstone = replace(SAID, text="", deleted=True)
    assert tombstone.answering(other) is tombstone


# Fields


def test_lines_end_in_one_way_and_nothing_else_is_touched() -> None:
    text = " a\r\nb\rc\u2028d\x85\n\n e\u0301\t"
    assert tidied(draft(ROOM.room_id, "k ", text, " Ben ")) == draft(
        ROOM.room_id, "k ", " a\nb\nc\nd\n\n\n e\u0301\t", "Ben"
    )


@pytest.mark.parametrize(
    "text", ["a", " ", "a\tb\nc", "🍵" * MAX_TEXT_CHARACTERS, "👩\u200d👩\u200d👧", "نص"]
)
def test_texts(text: str) -> None:
    assert text_fault(text) is None


@pytest.mark.parametrize(
    "text", ["", "a" * (MAX_TEXT_CHARACTERS + 1), "\0", "a\x07", "\x1b[2J", "\x7f", "\ud800"]
)
def test_no_texts(text: str) -> None:
    assert text_fault(text)


def test_keys() -> None:
    assert [key_fault(key) for key in ("1", "열쇠 17", "k" * MAX_KEY_CHARACTERS)] == [None] * 3
    assert all(key_fault(key) for key in ("", "k" * (MAX_KEY_CHARACTERS + 1), "a\nb", "a\tb", "\0"))


def test_names() -> None:
    assert [name_fault(name) for name in ("T", " 차 ", "n" * MAX_NAME_CHARACTERS)] == [None] * 3
    assert all(name_fault(name) for name in ("", " ", "n" * (MAX_NAME_CHARACTERS + 1), "a\nb", "a\u202eb"))
