"""What can be done with messages. Who may do it depends on the room alone."""

from uuid import UUID

from services.chat.domain.messages import (
    MESSAGE_RULES,
    Draft,
    Excerpt,
    Message,
    MessageRepository,
    fields,
    tidied,
)
from services.chat.domain.rooms import Asker, RoomRepository, known
from shared.errors import NotFound, Unavailable
from shared.rules import check

MOST_TRIES = 5  # to say something in a room that loses members meanwhile
RETRY_AFTER_SECONDS = 1.0


class MessageService:
    """The use cases. Besides what each says, all raise Unavailable while a repository does.

    NotFound is raised of a room that the asker may not know of, too.
    """

    def __init__(self, rooms: RoomRepository, messages: MessageRepository) -> None:
        self._rooms = rooms
        self._messages = messages

    async def post(self, author: Asker, draft: Draft) -> Message:
        """The message that there is now; under a key that the author has used before, that one.

        Raises Invalid, NotFound, Conflict when the key was used for another text. Nothing is locked while we
        look: whether we still may is found out as the message is kept, and if not, we look again.
        """
        draft = tidied(draft)
        check(fields(draft), MESSAGE_RULES)
        for _ in range(MOST_TRIES):
            access = known(await self._rooms.access(draft.room_id, author))
            message = await self._messages.append(access, draft)
            if message is None:
                message = await self._messages.under_key(access, draft)
            if message is not None:
                return message.answering(draft)
        raise Unavailable("The members of this room are changing.", retry_after=RETRY_AFTER_SECONDS)

    async def after(self, asker: Asker, room_id: UUID, after: int, limit: int) -> Excerpt:
        """What was said after number `after`, `limit` at most, and the room's newest number.

        Raises NotFound. The head is read first, so nothing is newer, and all up to it can be read.
        """
        room = known(await self._rooms.access(room_id, asker)).room
        found = await self._messages.after(room_id, after, room.last_seq, limit)
        return Excerpt(found, room.last_seq)

    async def before(self, asker: Asker, room_id: UUID, before: int, limit: int) -> Excerpt:
        """What was last said before number `before`. Raises NotFound."""
        room = known(await self._rooms.access(room_id, asker)).room
        return Excerpt(await self._messages.before(room_id, before, limit), room.last_seq)

    async def delete(self, asker: Asker, room_id: UUID, seq: int) -> None:
        """Take a message back; its number stays. Raises NotFound, Forbidden."""
        access = known(await self._rooms.access(room_id, asker))
        async with self._messages.unit_of_work():
            message = await self._messages.hold(room_id, seq)
            if message is None:
                raise NotFound("There is no such message.")
            deleted = message.delete(access)
            if deleted is not None:
                await self._messages.record(deleted)
