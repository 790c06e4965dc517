"""The load plays on a running system, tells what has come of it, and notices when something is wrong."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from scripts.support.accounts import Account
from scripts.support.load.books import discrepancies
from scripts.support.load.patient_client import PatientClient
from scripts.support.load.play import Control, Plan, play
from scripts.support.load.scenes import Scene
from scripts.support.load.shop import open_shop
from scripts.support.load.users import User
from tests.e2e.system import ADMIN_EMAIL, ADMIN_PASSWORD, System
from tests.waiting import until

ADMIN = Account(ADMIN_EMAIL, ADMIN_PASSWORD)
PATIENCE_SECONDS = 60.0
MIX = {Scene.LAST_PIECES: 1, Scene.POOR: 1}
ENOUGH = 24  # to have more of both than there is for them


def test_it_plays_and_finds_no_fault(system: System) -> None:
    load = ("./scripts/load", "orders", "--clients", "6", "--orders", "30", "--users", "2", "--seed", "1")
    done = system.run(*load)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "CONFIRMED" in done.stdout


def test_a_play_without_an_end_ends_when_told(system: System) -> None:
    plan = Plan(clients=4, orders=None, users=1, patience=PATIENCE_SECONDS, mix=MIX)
    control = Control()
    with ThreadPoolExecutor(1) as thread:
        playing = thread.submit(lambda: asyncio.run(play(system.url(), ADMIN, plan, control)))
        try:
            until(lambda: control.orders >= ENOUGH or playing.done(), PATIENCE_SECONDS, "enough orders")
        finally:
            control.must_end.set()
        report = playing.result()
    assert report.is_clean, report
    assert {"CANCELLED out_of_stock", "CANCELLED payment_declined"} <= report.endings.keys(), report


async def test_books_that_do_not_add_up_are_noticed(system: System) -> None:
    client = PatientClient(system.url(), 1, PATIENCE_SECONDS)
    try:
        shop = await open_shop(client, User(client, ADMIN), "KRW", users=1)
        assert await discrepancies(shop, {}, {}) == []
        shop.stock[shop.goods[0]] += 1
        shop.money[shop.poor] -= 1
        stock, money = await discrepancies(shop, {}, {})
    finally:
        await client.close()
    assert stock.startswith(f"product {shop.goods[0]}: ")
    assert money == f"a wallet has {shop.money[shop.poor] + 1} in it, not {shop.money[shop.poor]}"
