"""Whether stock and wallets are, in the end, what the orders say."""

from collections import Counter
from collections.abc import Mapping

from scripts.support.load.shop import Shop
from scripts.support.load.users import OK, User, expected
from scripts.support.load.witness import Told


async def discrepancies(shop: Shop, sold: Mapping[str, Told], buyers: Mapping[str, User]) -> list[str]:
    """What does not add up, in words. Every order must be final; `sold` and `buyers` are by order.

    Raises GaveUp, Refused.
    """
    pieces, paid = Counter[str](), Counter[User]()
    for order_id, order in sold.items():
        pieces.update(order.pieces)
        paid[buyers[order_id]] += order.total
    found = [await _stock_fault(shop, product_id, pieces[product_id]) for product_id in shop.stock]
    found += [await _wallet_fault(user, shop.money[user] - paid[user]) for user in shop.money]
    return [fault for fault in found if fault]


async def _stock_fault(shop: Shop, product_id: str, sold: int) -> str:
    answer = await shop.admin.ask("GET", f"/inventory/{product_id}")
    stock = expected(OK, answer, "GET /inventory/…").document
    left = shop.stock[product_id] - sold
    if (stock["on_hand"], stock["reserved"]) == (left, 0):
        return ""
    return f"product {product_id}: {stock['on_hand']} on hand, {stock['reserved']} reserved, not {left} and 0"


async def _wallet_fault(user: User, balance: int) -> str:
    wallet = expected(OK, await user.ask("GET", "/wallet"), "GET /wallet").document
    amount = wallet["balance"]["amount"]
    return "" if amount == balance else f"a wallet has {amount} in it, not {balance}"
