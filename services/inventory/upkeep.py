"""What the inventory does by itself, for as long as it runs."""

from services.inventory.service import EXPIRED_AT_ONCE, InventoryService
from shared.duties import Duty

EXPIRY_SECONDS = 1.0  # how late goods can be had again at most; a Commit in between knows the time by itself


def expiry(inventory: InventoryService) -> Duty:
    """Expire what is due. Any number of processes may: they pass over what another one has in hand."""

    async def expire() -> None:
        while await inventory.expire_due() == EXPIRED_AT_ONCE:
            pass

    return Duty("expired reservations", expire, EXPIRY_SECONDS)
