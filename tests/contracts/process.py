"""A member of a group in a process of its own, to be killed: `python -m tests.contracts.process`.

It reads where to go from EVENTS_URL, DATABASE_URL, GROUP and TOPIC, and writes a line for each message that
it begins to handle. The message HOLD it never finishes.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib import import_module
from pathlib import Path

from shared.config import CHECKOUT, Secret
from shared.db.database import Database
from shared.errors import Unavailable
from shared.events.bus import Bus, Message
from shared.events.ownership import DatabaseOwnership
from shared.events.transports import TRANSPORTS
from tests.contracts.worlds import World

HOLD = b"-1"


class MemberProcess:
    """The process as a test sees it."""

    def __init__(self, world: World) -> None:
        assert world.way is not None
        variables = {
            "EVENTS_URL": world.way.events_url.value,
            "DATABASE_URL": world.way.database_url.value,
            "GROUP": world.group,
            "TOPIC": world.topic,
        }
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed by kill
        command = [sys.executable, "-m", "tests.contracts.process"]
        environment = {**os.environ, **variables}
        self._process = subprocess.Popen(command, cwd=CHECKOUT, env=environment, stdout=self._output)

    def begun(self) -> list[tuple[str, int]]:
        """Key and number of each message that it has begun to handle."""
        assert self._process.poll() is None, "the member has ended"
        text = os.pread(self._output.fileno(), 1_000_000, 0).decode()
        whole = text[: text.rfind("\n") + 1].splitlines()  # it may be writing another
        return [(key, int(number)) for key, number in map(str.split, whole)]

    def kill(self) -> None:
        """kill -9."""
        self._process.kill()
        self._process.wait()
        self._output.close()


@contextmanager
def member_process(world: World) -> Iterator[MemberProcess]:
    """A member that is dead when the block ends, at the latest."""
    process = MemberProcess(world)
    try:
        yield process
    finally:
        process.kill()


@asynccontextmanager
async def opened_bus(events_url: Secret, database_url: Secret) -> AsyncIterator[Bus]:
    """The bus, as a process of its own reaches it."""
    module, name = TRANSPORTS[events_url.value.partition(":")[0]]
    with tempfile.TemporaryDirectory() as no_migrations:
        async with Database(database_url, Path(no_migrations)) as database:
            await database.wait_until_migrated()
            bus: Bus = getattr(import_module(module), name)(events_url, DatabaseOwnership(database))
            try:
                yield bus
            finally:
                await bus.close()


async def _handle(message: Message) -> None:
    print(message.key, message.value.decode(), flush=True)
    if message.value == HOLD:
        await asyncio.Event().wait()


async def _main() -> None:
    events_url, database_url = Secret(os.environ["EVENTS_URL"]), Secret(os.environ["DATABASE_URL"])
    async with opened_bus(events_url, database_url) as bus:
        while True:
            try:
                await bus.consume(os.environ["GROUP"], [os.environ["TOPIC"]], _handle)
            except Unavailable as away:
                print(away.detail, file=sys.stderr)


if __name__ == "__main__":
    asyncio.run(_main())
