"""Who talks in the tests, and what they say."""

from collections.abc import Sequence
from uuid import UUID

from services.chat.domain.messages import Draft, Excerpt, Message
from services.chat.domain.rooms import Asker
from services.chat.service.messages import MessageService

ADMIN, ANN, BEN, CEM = (Asker(UUID(int=number), is_admin=number == 1) for number in (1, 2, 3, 4))
UNKNOWN = UUID("018cc251-f400-7000-8000-0000000000ff")
ALL = 1_000  # messages


def draft(room_id: UUID, key: str, text: str = "hello", display_name: str = "Ben") -> Draft:
    return Draft(room_id, key, text, display_name)


async def said(messages: MessageService, room_id: UUID, by: Asker = ANN) -> Excerpt:
    """Everything, from the beginning."""
    return await messages.after(by, room_id, 0, ALL)


def is_gapless(excerpt: Excerpt) -> bool:
    return numbers(excerpt.messages) == list(range(1, excerpt.head + 1))


def numbers(messages: Sequence[Message]) -> list[int]:
    return [message.seq for message in messages]
