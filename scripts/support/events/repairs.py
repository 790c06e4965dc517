"""What was lost on the way is brought again: from the bus, from the owner of the data, from the outbox."""

import re
from collections import Counter
from datetime import UTC, datetime, timedelta

from scripts.support.admin.text import shown
from scripts.support.events.attempts import attempt, summary
from scripts.support.events.services import opened, opened_consumer, publishers, require
from scripts.support.events.settings import bus_in_words
from scripts.support.failures import BAD_SETTING, SetupError
from shared.callers import OPERATOR
from shared.config import Environment
from shared.events.consumer import Outcome
from shared.events.outbox import KEPT, Outbox
from shared.events.transports import open_bus
from shared.rpc.channel import Channel

UNITS = {"m": "minutes", "h": "hours"}


async def replay(environment: Environment, name: str) -> int:
    """Everything that the bus still has goes through the service's inbox once more."""
    outcomes: Counter[Outcome] = Counter()
    async with opened_consumer(environment, name) as service, open_bus(environment) as bus:
        for topic in service.consumer.topics:
            async for message in bus.history(topic):
                outcome, words = await attempt(service.consumer.take(message))
                outcomes[outcome] += 1
                if outcome is Outcome.PARKED:
                    print(f"{shown(message.place)} {shown(words)}", flush=True)
    print(f"{bus_in_words(environment)}: {summary(outcomes)}")
    return 1 if outcomes[Outcome.PARKED] else 0


async def rebuild(environment: Environment, name: str) -> int:
    """The service's copies of the catalogue are compared with it, and mended, while events go on."""
    async with (
        opened_consumer(environment, name) as service,
        Channel.read(environment, OPERATOR, "product") as product,
    ):
        rebuilt = await service.main.rebuild(service.database, product)
    found = (
        f"{rebuilt.changed} copies were wrong and are mended" if rebuilt.changed else "all copies are right"
    )
    print(f"{rebuilt.seen} products in the catalogue: {found}")
    return 0


async def republish(environment: Environment, name: str, since: timedelta) -> int:
    """Everything that the service has published within `since` is published again."""
    require(name, publishers(), "outbox")
    async with opened(environment, name) as database:
        count = await Outbox(database, name).republish(datetime.now(UTC) - since)
    print(f"{count} events of {name} will be published again by the running service")
    return 0


def read_age(text: str) -> timedelta:
    """`90m`, `24h`: how far back. Raises SetupError."""
    found = re.fullmatch(r"([0-9]{1,4})([mh])", text)
    age = timedelta(**{UNITS[found[2]]: int(found[1])}) if found else timedelta()
    if not timedelta() < age <= KEPT:
        raise SetupError(f"{text!r} is no age: say 90m or 24h; what is older is not kept", BAD_SETTING)
    return age
