"""Turns with something scarce. What bcrypt makes of them is in test_passwords.py."""

import asyncio

import pytest

from services.auth.turns import Turns
from shared.errors import Unavailable
from tests.waiting import eventually

PLENTY = 30.0  # seconds


def refusal() -> Unavailable:
    return Unavailable("Too many.", retry_after=1.0)


async def test_so_many_at_once_and_the_others_in_order() -> None:
    turns, seen, most = Turns(2, 10, refusal), [], 0

    async def work(number: int) -> None:
        nonlocal most
        async with turns.one(PLENTY):
            most = max(most, turns.running)
            seen.append(number)
            await asyncio.sleep(0)

    await asyncio.gather(*map(work, range(8)))
    assert (seen, most) == (list(range(8)), 2)
    assert (turns.running, turns.waiting) == (0, 0)


async def test_whoever_does_not_fit_is_refused() -> None:
    turns = Turns(1, 1, refusal)
    async with turns.one(PLENTY):
        waiting = asyncio.create_task(turns.begin())
        await eventually(lambda: turns.waiting == 1)
        with pytest.raises(Unavailable):
            await turns.begin()
    await waiting
    turns.end()
    assert (turns.running, turns.waiting) == (0, 0)


async def test_nobody_waits_for_longer_than_said() -> None:
    turns = Turns(1, 10, refusal)
    async with turns.one(PLENTY):
        with pytest.raises(Unavailable):
            async with turns.one(0.01):
                raise AssertionError("it was nobody's turn")
        assert turns.waiting == 0
    async with turns.one(PLENTY):
        assert turns.running == 1


async def test_a_turn_ends_however_its_work_does() -> None:
    turns = Turns(1, 10, refusal)
    with pytest.raises(ZeroDivisionError):
        async with turns.one(PLENTY):
            raise ZeroDivisionError
    assert turns.running == 0
