"""What waits: in each outbox, on the bus for each consumer, and as dead letters."""

from scripts.support.admin.text import table
from scripts.support.events.services import consumers, opened, opened_consumer, publishers
from scripts.support.events.settings import bus_in_words
from shared.config import Environment
from shared.events.outbox import Outbox
from shared.events.transports import open_bus


async def lag(environment: Environment) -> int:
    """Two tables, one for those who publish and one for those who take in."""
    print(table(["OUTBOX", "EVENTS", "OLDEST"], [await _outbox(environment, name) for name in publishers()]))
    print(f"\nthe bus: {bus_in_words(environment)}\n")
    rows = [row for name in consumers() for row in await _consumer(environment, name)]
    print(table(["CONSUMER", "TOPIC", "BEHIND", "DEAD LETTERS"], rows))
    return 0


async def _outbox(environment: Environment, name: str) -> list[str]:
    async with opened(environment, name) as database:
        count, seconds = await Outbox(database, name).waiting()
    return [name, str(count), f"{seconds:.1f} s" if count else ""]


async def _consumer(environment: Environment, name: str) -> list[list[str]]:
    async with opened_consumer(environment, name) as service, open_bus(environment) as bus:
        behind = await bus.lag(name, service.consumer.topics)
        letters = str(await service.consumer.dead_letters.count())
    return [[name, topic, str(count), letters] for topic, count in behind.items()]
