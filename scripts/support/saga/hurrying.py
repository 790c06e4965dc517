"""`./scripts/saga retry`: a saga that waits is due now."""

from scripts.support.admin.text import shown
from scripts.support.failures import SetupError
from scripts.support.saga.standings import opened_service, order_named, standing_of
from scripts.support.saga.words import next_in_words
from services.order.repository.orders import PostgresOrderRepository
from services.order.repository.sagas import PostgresSagaRepository
from shared.config import Environment
from shared.events.outbox import Outbox


async def retry(environment: Environment, text: str) -> int:
    """Have the order's saga taken up at once. Raises SetupError when there is nothing to do for it."""
    async with opened_service(environment, "order") as order:
        order_id = await order_named(order, text)
        saga = await standing_of(order, order_id)
        if saga is None:
            raise SetupError(f"order {order_id} has no saga: it was cancelled before there were any")
        sagas = PostgresSagaRepository(order, PostgresOrderRepository(order, Outbox(order, "order")))
        if not await sagas.hurry(order_id):
            raise SetupError(f"order {order_id} is {saga.status}: its saga has ended")
    print(f"{order_id}: {next_in_words(saga.log)} is due now; order, if it runs, sends it within a second")
    if saga.attempts:
        print(f"so far {saga.attempts} attempts in vain, the latest because of: {shown(saga.problem)}")
    return 0
