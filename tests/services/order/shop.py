"""The order service as its clients see it: HTTP without sockets; what it keeps is in a real database."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from services.order.domain.orders import Order
from services.order.handler import order_routes
from services.order.service.orchestrator import Orchestrator
from services.order.service.orders import OrderService
from shared.context import Principal
from shared.db.database import Database
from shared.db.idempotency_keys import IdempotencyKeys
from shared.http.messages import Response
from shared.idempotency import IdempotentCalls
from shared.rules import Rule
from tests.services.asking import CUSTOMER, Asking, read
from tests.services.order.conftest import MILK, NOON, TEA, orchestrator_in, orders_in
from tests.services.order.fake_catalogue import FakeCatalogue
from tests.services.order.fake_participants import FakeParticipants

TWO_TEAS = {"product_id": str(TEA.product_id), "quantity": 2}
ONE_MILK = {"product_id": str(MILK.product_id), "quantity": 1}
BASKET: dict[str, Any] = {"items": [TWO_TEAS, ONE_MILK]}
TOTAL = {"amount": 22_100, "currency": "KRW"}


class Shop(Asking):
    """Its orders stay pending until its orchestrator is at work."""

    def __init__(self, database: Database, catalogue: FakeCatalogue, rules: Mapping[str, Rule]) -> None:
        self.repository = orders_in(database)
        self.participants = FakeParticipants()
        self.orchestrator: Orchestrator = orchestrator_in(database, self.participants)
        self.orders = OrderService(self.repository, catalogue, self.orchestrator, rules, "KRW", lambda: NOON)
        super().__init__(order_routes(self.orders, IdempotentCalls(IdempotencyKeys(database)), rules))

    async def order(
        self, document: object = BASKET, key: str = "k", by: Principal = CUSTOMER, **headers: str
    ) -> Response:
        return await self.ask("POST", "/orders", document, by=by, idempotency_key=key, **headers)

    async def ordered(self, key: str = "k", by: Principal = CUSTOMER) -> dict[str, Any]:
        """An order that is there."""
        response = await self.order(key=key, by=by)
        assert response.status == 202
        order: dict[str, Any] = read(response)
        return order

    async def cancel(self, order: Mapping[str, Any], by: Principal = CUSTOMER) -> Response:
        return await self.ask("POST", f"/orders/{order['order_id']}/cancel", by=by)

    async def listed(self, query: str = "", by: Principal = CUSTOMER) -> list[dict[str, Any]]:
        page = read(await self.ask("GET", f"/orders?{query}", by=by))
        items: list[dict[str, Any]] = page["items"]
        return items

    async def kept(self, order: Mapping[str, Any]) -> Order:
        """The order that clients see so."""
        found = await self.repository.get(UUID(order["order_id"]))
        assert found is not None
        return found
