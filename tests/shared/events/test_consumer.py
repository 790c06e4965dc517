import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from shop.product.v1.events_pb2 import ProductCreated

from shared import context
from shared.db.database import Database
from shared.db.statements import every, execute
from shared.errors import Invalid, Unavailable
from shared.events import consumer as consumer_module
from shared.events.bus import Message
from shared.events.consumer import Consumer, Outcome, Subscription
from shared.ids import new_id
from shared.tasks import background
from tests.shared.events.samples import TRACEPARENT, message
from tests.waiting import eventually

EFFECTS = "SELECT subject, version FROM effects ORDER BY number"
IMPATIENT = (0.0, 0.0, 0.0, 0.0)
Handler = Callable[[Any], Awaitable[object]]


@pytest.fixture
def consumer_of(database: Database) -> Callable[[Handler], Consumer]:
    def consumer_of(handler: Handler) -> Consumer:
        return Consumer(database, "tests", [Subscription("product", {ProductCreated: handler})], IMPATIENT)

    return consumer_of


@pytest.fixture
def write(database: Database) -> Handler:
    """The effect: a row."""

    async def write(created: ProductCreated) -> None:
        values = [created.product.product_id, created.product.version]
        await execute(database, "INSERT INTO effects (subject, version) VALUES (%s, %s)", values)

    return write


@pytest.fixture
def consumer(consumer_of: Callable[[Handler], Consumer], write: Handler) -> Consumer:
    return consumer_of(write)


async def test_an_event_takes_effect_once(database: Database, consumer: Consumer) -> None:
    event = message("milk", 3)
    assert [await consumer.take(event), await consumer.take(event)] == [Outcome.APPLIED, Outcome.ALREADY]
    assert await every(database, EFFECTS) == [("milk", 3)]


async def test_of_many_that_have_an_event_in_hand_one_counts(
    database: Database, consumer_of: Callable[[Handler], Consumer], write: Handler
) -> None:
    event = message()
    outcomes = await asyncio.gather(*(consumer_of(write).take(event) for _ in range(8)))
    assert sorted(outcomes) == [Outcome.ALREADY] * 7 + [Outcome.APPLIED]
    assert len(await every(database, EFFECTS)) == 1


async def test_an_effect_that_fails_leaves_nothing(
    database: Database, consumer_of: Callable[[Handler], Consumer], write: Handler
) -> None:
    async def write_and_fail(created: ProductCreated) -> None:
        await write(created)
        raise Invalid("Not like this.")

    event = message()
    with pytest.raises(Invalid):
        await consumer_of(write_and_fail).take(event)
    assert await every(database, EFFECTS) == []
    assert await consumer_of(write).take(event) is Outcome.APPLIED


@pytest.mark.parametrize("other", [Message("order", "milk", message().value), "shop.product.v1.Unknown"])
async def test_what_is_of_no_concern_is_ignored(consumer: Consumer, other: Message | str) -> None:
    if isinstance(other, str):
        value = message().value.replace(b"shop.product.v1.ProductCreated", other.encode())
        other = Message("product", "milk", value)
    assert await consumer.take(other) is Outcome.IGNORED


async def test_a_poison_event_is_parked_and_stops_nothing(
    database: Database, consumer_of: Callable[[Handler], Consumer], write: Handler
) -> None:
    attempts = []

    async def fussy(created: ProductCreated) -> None:
        attempts.append(created.product.version)
        if created.product.version == 2:
            raise Invalid("A two is no good.")
        await write(created)

    consumer = consumer_of(fussy)
    events = [message("milk", version) for version in (1, 2, 3)]
    for event in events:
        await consumer.handle(event)
    assert attempts == [1, 2, 2, 2, 2, 2, 3]
    assert await every(database, EFFECTS) == [("milk", 1), ("milk", 3)]
    [letter] = await consumer.dead_letters.every()
    assert letter.message == events[1]
    assert (letter.error, letter.attempts) == ("A two is no good. (invalid)", 5)


async def test_a_parked_event_that_comes_again_is_not_tried_five_times(
    consumer_of: Callable[[Handler], Consumer],
) -> None:
    attempts = []

    async def fail(created: ProductCreated) -> None:
        attempts.append(created)
        raise ValueError(created.product.name)

    consumer, event = consumer_of(fail), message()
    await consumer.handle(event)
    await consumer.handle(event)
    assert len(attempts) == 6
    [letter] = await consumer.dead_letters.every()
    assert letter.error == "ValueError: milk 1"


async def test_what_is_no_event_is_parked_once(consumer: Consumer) -> None:
    for _ in range(2):
        await consumer.handle(Message("product", "milk", b"\x00rubbish", "here"))
    [letter] = await consumer.dead_letters.every()
    assert (letter.message.value, letter.message.place) == (b"\x00rubbish", "here")


async def test_what_no_text_column_takes_is_parked_all_the_same(
    consumer_of: Callable[[Handler], Consumer],
) -> None:
    async def fail(_: ProductCreated) -> None:
        raise Invalid("\x00 and \udc80")

    consumer = consumer_of(fail)
    await consumer.handle(Message("product", "a\x00b", message().value, "\ud800"))
    [letter] = await consumer.dead_letters.every()
    assert letter.message.key == "a\ufffdb"
    assert letter.error == "\ufffd and ? (invalid)"


async def test_while_something_is_away_an_event_waits_and_is_not_parked(
    database: Database,
    consumer_of: Callable[[Handler], Consumer],
    write: Handler,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(consumer_module, "LAST_WAIT_SECONDS", consumer_module.FIRST_WAIT_SECONDS)
    attempts = 0

    async def wait_for_it(created: ProductCreated) -> None:
        nonlocal attempts
        attempts += 1
        if attempts < 8:
            raise Unavailable("It is away.")
        await write(created)

    consumer = consumer_of(wait_for_it)
    async with background(consumer.handle(message()), "handling") as handling:
        await eventually(lambda: attempts == 3)
        assert not handling.done()
        assert await consumer.dead_letters.every() == []
        await eventually(handling.done, 30)
    assert await every(database, EFFECTS) == [("milk", 1)]


async def test_what_an_event_causes_belongs_to_its_trace(consumer_of: Callable[[Handler], Consumer]) -> None:
    seen = []

    async def look(_: ProductCreated) -> None:
        seen.append((context.trace.get(), context.request_id.get()))

    event_id = new_id()
    await consumer_of(look).handle(message(event_id=event_id))
    [(trace, request_id)] = seen
    assert trace is not None
    assert (f"00-{trace.trace_id}-{trace.parent_id}-01", request_id) == (TRACEPARENT, str(event_id))
    assert context.request_id.get() == ""


async def test_an_event_in_an_open_transaction_is_part_of_it(database: Database, consumer: Consumer) -> None:
    async def take_and_fail() -> None:
        async with database.transaction():
            await consumer.take(message())
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - our own
        await take_and_fail()
    assert await every(database, EFFECTS) == []
    assert await every(database, "SELECT * FROM inbox") == []


async def test_what_came_long_ago_is_forgotten(database: Database, consumer: Consumer) -> None:
    for _ in range(2):
        await consumer.take(message())
    await execute(
        database,
        "UPDATE inbox SET received_at = now() - interval '9 days' WHERE event_id IN "
        "(SELECT event_id FROM inbox LIMIT 1)",
    )
    [inbox, *_] = consumer.upkeep(NoBus())  # type: ignore[arg-type]
    await inbox.work()
    assert len(await every(database, "SELECT * FROM inbox")) == 1


class NoBus:
    """Not used."""


async def test_there_is_no_way_to_lose_an_event_by_being_cancelled(
    database: Database, consumer_of: Callable[[Handler], Consumer], write: Handler
) -> None:
    begun = asyncio.Event()

    async def slow(created: ProductCreated) -> None:
        await write(created)
        begun.set()
        await asyncio.get_running_loop().create_future()

    event = message()
    async with background(consumer_of(slow).handle(event), "handling"):
        await begun.wait()
    assert await every(database, EFFECTS) == []
    await consumer_of(write).handle(event)
    assert await every(database, EFFECTS) == [("milk", 1)]
