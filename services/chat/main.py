"""The chat service: `python -m services.chat.main`."""

from contextlib import AsyncExitStack
from pathlib import Path

from services.chat.handler import chat_calls, chat_routes
from services.chat.repository.messages import PostgresMessageRepository
from services.chat.repository.rooms import PostgresRoomRepository
from services.chat.service.messages import MessageService
from services.chat.service.rooms import RoomService
from shared.config import Environment
from shared.db.database import Database
from shared.duties import keep_up
from shared.events.outbox import Outbox
from shared.events.relay import Relay
from shared.events.transports import open_bus
from shared.runtime import Readiness, forever, run
from shared.service import ServiceSettings, serve_service
from shared.tasks import background

NAME = "chat"
MIGRATIONS = Path(__file__).parent / "migrations"


async def main(environment: Environment) -> None:
    """Open the rooms, serve them and report what happens there until told to stop.

    While the bus is away, reports wait in the outbox, and nothing else does.
    """
    settings = ServiceSettings.read(environment, NAME)
    readiness = Readiness()
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(settings.database_url, MIGRATIONS))
        bus = await stack.enter_async_context(open_bus(environment, database))
        readiness.require("database", database.check)
        outbox = Outbox(database, NAME)
        kept = PostgresRoomRepository(database, outbox)
        rooms, messages = RoomService(kept), MessageService(kept, PostgresMessageRepository(database, outbox))

        await stack.enter_async_context(background(Relay(database, bus, NAME).run(), "relay"))
        upkeep = keep_up(database.wait_until_migrated, [outbox.upkeep()])
        await stack.enter_async_context(background(upkeep, "upkeep"))
        routes, calls = chat_routes(rooms, messages), [chat_calls(rooms, messages)]
        await stack.enter_async_context(serve_service(settings, routes, readiness, calls))
        await forever()


if __name__ == "__main__":
    run(NAME, main)
