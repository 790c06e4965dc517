"""Whatever is killed between any two steps of an order, or of a conversation.

Every order ends, and all adds up; everybody hears what was said, in order, once.

A process dies once at each place where something has just been done, or is about to be: committed, asked of
another service, published, acknowledged. The others go on, and it comes back.
"""

import asyncio
import random
from pathlib import Path

from scripts.support.accounts import Account
from scripts.support.load.play import Control, Plan, play
from scripts.support.load.report import Report
from tests.e2e.busy_rooms import busy_rooms
from tests.e2e.crash_points import CrashPoints, Visits
from tests.e2e.hindrances import hinder
from tests.e2e.replicas import share_requests
from tests.e2e.rest import wait_for_rest
from tests.e2e.revived import Revived, revived
from tests.e2e.system import ADMIN_EMAIL, ADMIN_PASSWORD, CHEAP_PASSWORDS, System, procfile_of
from tests.waiting import eventually

KEPT = ("postgres", "valkey", "auth", "gateway")
REVIVED = ("product.1", "inventory.1", "payment.1", "order.1", "order.2", "chat.1", "ws_gateway.1")
# An order of a killed process soon goes on in another one; goods that wait for a payment soon expire.
IMPATIENT = {"SAGA_LEASE_SECONDS": "3", "RESERVATION_SECONDS": "4"}
PLAN = Plan(clients=4, orders=None, users=2, patience=300.0)
SHOP_SECONDS = 60.0  # to open it
VISIT_SECONDS = 300.0  # it takes a fifth of that where nobody else is at work

# Where there must be crash points, before and after. Others that are passed are visited as well.
COMMITS = {
    "order": (
        "place_order",
        "reserve_stock_done",
        "reserve_stock_refused",
        "reserve_stock_abandoned",
        "charge_wallet_done",
        "charge_wallet_refused",
        "charge_wallet_abandoned",
        "commit_stock_done",  # and confirmed
        "commit_stock_refused",
        "refund_wallet_done",
        "release_stock_done",  # and cancelled
        "call_off",
    ),
    "inventory": (
        "StockReserved",
        "StockReservationRefused",
        "StockCommitted",
        "StockReleased",
        "StockReservationExpired",
        "StockChanged",
    ),
    "payment": (
        "PaymentCharged",
        "PaymentDeclined",
        "PaymentRefunded",
        "PaymentCancelled",
        "WalletDeposited",
    ),
    "chat": ("RoomCreated", "MemberAdded", "MemberRemoved", "MessagePosted", "MessageDeleted"),
    "relay": ("published",),
    "consumer": ("applied_event",),
}
CALLS = (
    *("GetProducts", "Reserve", "Charge", "Commit", "Refund", "Release"),
    *("PostMessage", "ListMessages", "GetRoomHeads"),
)
OTHERS = ("claim_of_key", "claim", "postpone", "publish", "confirm", "acknowledge")


def required() -> list[str]:
    """In an order of chance: so the same service dies less often one time after the other."""
    commits = [f"commit_of_{name}" for names in COMMITS.values() for name in names]
    places = [*commits, *(f"call_of_{name}" for name in CALLS), *OTHERS]
    points = [f"{when}_{place}" for place in places for when in ("before", "after")]
    return random.Random(1).sample(points, len(points))


async def visit_all(system: System, points: CrashPoints, processes: Revived) -> Report:
    """While clients order and talk. What they have been told, and what has become of it."""
    visits, control = Visits(points, required()), Control()
    admin = Account(ADMIN_EMAIL, ADMIN_PASSWORD)
    async with asyncio.TaskGroup() as tasks:
        reviving = tasks.create_task(processes.keep_reviving())
        playing = tasks.create_task(play(system.url(), admin, PLAN, control))
        await eventually(control.has_begun.is_set, SHOP_SECONDS)
        hindering = tasks.create_task(hinder(system))
        async with busy_rooms(system):
            await visits.make(VISIT_SECONDS)
        hindering.cancel()
        control.must_end.set()
        report = await playing
        reviving.cancel()
    assert len(processes.deaths) == len(visits.visited)
    return report


def test_whoever_dies_wherever_every_order_ends_and_all_adds_up(tmp_path: Path) -> None:
    points = CrashPoints(tmp_path / "points")
    settings = {**CHEAP_PASSWORDS, **IMPATIENT, **points.setting, **procfile_of(KEPT, tmp_path)}
    system = System(tmp_path / "home", settings)
    share_requests(system, "order", processes=2)
    try:
        system.start()
        with revived(system, REVIVED) as processes:
            report = asyncio.run(visit_all(system, points, processes))
            wait_for_rest(system)
    finally:
        system.close()
    assert report.is_clean, report
