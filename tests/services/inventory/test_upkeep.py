from datetime import timedelta
from uuid import UUID

from services.inventory.domain.reservations import Item
from services.inventory.service import EXPIRED_AT_ONCE, InventoryService
from services.inventory.upkeep import expiry
from shared.db.database import Database
from shared.duties import repeatedly
from shared.tasks import background
from tests.services.inventory.conftest import inventory_in
from tests.waiting import eventually

TEA, ADMIN = UUID(int=1), UUID(int=0xAD)


async def test_what_nobody_commits_is_given_back(database: Database) -> None:
    hasty = InventoryService(inventory_in(database), timedelta(0))
    await hasty.count(TEA, 100, ADMIN)
    for number in range(2 * EXPIRED_AT_ONCE + 1):
        await hasty.reserve(UUID(int=number), [Item(TEA, 1)])

    async def is_all_there() -> bool:
        return (await hasty.get(TEA)).available == 100

    assert not await is_all_there()
    async with background(repeatedly(expiry(hasty)), "upkeep"):
        await eventually(is_all_there)
