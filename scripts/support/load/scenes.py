"""What a client does in the shop, one order at a time, and remembers of it."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from uuid import UUID

from scripts.support.load.patient_client import Answer, GaveUp
from scripts.support.load.report import Report
from scripts.support.load.shop import Shop
from scripts.support.load.users import CREATED, OK, User
from scripts.support.load.witness import CONFIRMED, Told
from shared.tasks import together

ACCEPTED, NOT_FOUND, CONFLICT = 202, 404, 409
WAIT = {"Prefer": "wait=10"}
MOST_PRODUCTS, MOST_PIECES = 3, 3  # of one order
LATER_SECONDS = 0.15  # by then most orders are final
FOLLOWED_SECONDS = 15.0  # a client's interest in an order; in the end it asks for all of them once more
POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Wish:
    """An order that somebody wants to place: pieces by product, and how many pieces' price they expect."""

    pieces: Mapping[str, int]
    expects: int | None = None


class Scene(StrEnum):
    """What a client may be up to."""

    WAIT = "places an order and waits for its end"
    POLL = "places an order and asks what has become of it"
    LAST_PIECES = "wants what others want, too, of which there is too little"
    POOR = "has hardly any money left"
    WRONG_TOTAL = "expects another price"
    CANCEL = "places an order and cancels at once"
    CANCEL_LATER = "places an order and cancels after a while"
    TWICE = "asks under one key twice at the same time, then again"


Mix = Mapping[Scene, int]  # how often one comes, beside the others
MIX: Mix = {
    Scene.WAIT: 35,
    Scene.POLL: 15,
    Scene.LAST_PIECES: 15,
    Scene.POOR: 8,
    Scene.WRONG_TOTAL: 5,
    Scene.CANCEL: 8,
    Scene.CANCEL_LATER: 6,
    Scene.TWICE: 8,
}


class Customer:
    """One client, as `user`; what it does next, `chance` decides. `orders` are those it has been promised."""

    def __init__(self, shop: Shop, report: Report, user: User, chance: random.Random) -> None:
        self._shop = shop
        self._report = report
        self._witness = report.witness
        self._user = user
        self._chance = chance
        self.orders: dict[str, User] = {}
        self._scenes: Mapping[Scene, Callable[[], Awaitable[None]]] = {
            Scene.WAIT: self._wait,
            Scene.POLL: self._poll,
            Scene.LAST_PIECES: self._want_the_last,
            Scene.POOR: self._be_poor,
            Scene.WRONG_TOTAL: self._expect_another_total,
            Scene.CANCEL: self._cancel_at_once,
            Scene.CANCEL_LATER: self._cancel_later,
            Scene.TWICE: self._ask_twice,
        }

    async def shop_once(self, mix: Mix) -> None:
        """One order, or an attempt at one. Raises Refused when nobody can log in any more."""
        (scene,) = self._chance.choices(list(mix), list(mix.values()))
        try:
            await self._scenes[scene]()
        except GaveUp as silence:
            self._report.unanswered.append(str(silence))

    async def settle(self, deadline: float) -> None:
        """Ask for every order once more, until it is final or it is `deadline`."""
        for order_id, user in self.orders.items():
            try:
                await self._follow(order_id, user, deadline)
            except GaveUp as silence:
                self._report.unanswered.append(str(silence))

    # The scenes

    async def _wait(self) -> None:
        await self._place(self._user, self._wish(), WAIT)

    async def _poll(self) -> None:
        if (placed := await self._place(self._user, self._wish())) is not None:
            await self._follow(placed.order_id, self._user, time.monotonic() + FOLLOWED_SECONDS)

    async def _want_the_last(self) -> None:
        await self._place(self._user, Wish({await self._shop.scarce(): 1}), WAIT)

    async def _be_poor(self) -> None:
        await self._place(self._shop.poor, Wish({self._chance.choice(self._shop.goods): 1}), WAIT)

    async def _expect_another_total(self) -> None:
        pieces = self._pieces()
        wish = Wish(pieces, sum(pieces.values()) + 1)
        answer = await self._ask_for(self._user, wish, self._key(), {})
        if answer.status == CONFLICT and answer.code == "price-changed":
            self._report.price_changed += 1
        else:
            self._surprise("an order that expects another total", answer)

    async def _cancel_at_once(self) -> None:
        if (placed := await self._place(self._user, self._wish())) is not None:
            await self._cancel(placed)

    async def _cancel_later(self) -> None:
        if (placed := await self._place(self._user, self._wish())) is not None:
            await asyncio.sleep(self._chance.uniform(0, LATER_SECONDS))
            await self._cancel(placed)

    async def _ask_twice(self) -> None:
        wish, key = self._wish(), self._key()
        await together(self._place(self._user, wish, key=key), self._place(self._user, wish, key=key))
        await self._place(self._user, wish, key=key)
        self._report.repeated += 1

    # What they consist of

    async def _place(
        self, user: User, wish: Wish, headers: Mapping[str, str] | None = None, key: str = ""
    ) -> Told | None:
        """The order that is accepted; None when it is not, which is a surprise."""
        key, began = key or self._key(), time.monotonic()
        answer = await self._ask_for(user, wish, key, headers or {})
        if answer.status not in (CREATED, ACCEPTED):
            self._surprise("an order", answer)
            return None
        placed = _told(answer)
        self._witness.placed(key, placed)
        self.orders[placed.order_id] = user
        if headers and answer.status == CREATED:
            self._report.waits.append(answer.heard_at - began)
        return placed

    async def _ask_for(self, user: User, wish: Wish, key: str, headers: Mapping[str, str]) -> Answer:
        items = [{"product_id": product_id, "quantity": each} for product_id, each in wish.pieces.items()]
        total = {} if wish.expects is None else {"expected_total": self._shop.price(wish.expects)}
        return await user.ask(
            "POST", "/orders", {"items": items, **total}, {"Idempotency-Key": key, **headers}
        )

    async def _follow(self, order_id: str, user: User, deadline: float) -> None:
        """Until it is final, or lost, or it is `deadline`."""
        while True:
            answer = await user.ask("GET", f"/orders/{order_id}")
            if answer.status == NOT_FOUND:
                return self._witness.missed(order_id)
            if answer.status != OK:
                return self._surprise("GET /orders/…", answer)
            told = _told(answer)
            self._witness.told(told)
            if told.ending or time.monotonic() > deadline:
                return None
            await asyncio.sleep(POLL_SECONDS)

    async def _cancel(self, placed: Told) -> None:
        answer = await self._user.ask("POST", f"/orders/{placed.order_id}/cancel")
        if answer.status == OK:
            self._report.cancelled_in_time += 1
            self._witness.called_off(_told(answer))
        elif answer.status == CONFLICT and answer.code in ("too-late", "order-confirmed"):
            self._report.cancelled_too_late += 1
            if answer.code == "order-confirmed":
                self._witness.told(
                    replace(placed, status=CONFIRMED, asked_at=answer.asked_at, heard_at=answer.heard_at)
                )
        elif answer.status == NOT_FOUND:
            self._witness.missed(placed.order_id)
        else:
            self._surprise("a cancellation", answer)

    def _wish(self) -> Wish:
        pieces = self._pieces()
        return Wish(pieces, self._chance.choice((None, sum(pieces.values()))))

    def _pieces(self) -> Mapping[str, int]:
        products = self._chance.sample(self._shop.goods, self._chance.randint(1, MOST_PRODUCTS))
        return {product_id: self._chance.randint(1, MOST_PIECES) for product_id in products}

    def _key(self) -> str:
        return str(UUID(int=self._chance.getrandbits(128)))

    def _surprise(self, what: str, answer: Answer) -> None:
        self._report.surprises.append(f"{what} is answered with {answer}")


def _told(answer: Answer) -> Told:
    return Told.read(answer.document, answer.asked_at, answer.heard_at)
