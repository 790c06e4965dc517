from collections.abc import AsyncIterator

import pytest

from services.chat.main import MIGRATIONS, NAME
from services.chat.repository.messages import PostgresMessageRepository
from services.chat.repository.rooms import PostgresRoomRepository
from services.chat.service.messages import MessageService
from services.chat.service.rooms import RoomService
from shared.config import Secret
from shared.db.database import Database
from shared.events.outbox import Outbox
from tests.services.databases import opened


@pytest.fixture
async def database(database_url: Secret, is_race: bool) -> AsyncIterator[Database]:
    async with opened(database_url, MIGRATIONS, for_a_race=is_race) as database:
        yield database


@pytest.fixture
def rooms_kept(database: Database) -> PostgresRoomRepository:
    return PostgresRoomRepository(database, Outbox(database, NAME))


@pytest.fixture
def rooms(rooms_kept: PostgresRoomRepository) -> RoomService:
    return RoomService(rooms_kept)


def messages_in(database: Database) -> MessageService:
    outbox = Outbox(database, NAME)
    return MessageService(
        PostgresRoomRepository(database, outbox), PostgresMessageRepository(database, outbox)
    )


@pytest.fixture
def messages(database: Database) -> MessageService:
    return messages_in(database)


@pytest.fixture
def both(database: Database) -> list[MessageService]:
    """As in two processes, of which neither knows what the other does."""
    return [messages_in(database), messages_in(database)]
