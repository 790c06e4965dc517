import asyncio
import threading
import unicodedata
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass
from typing import TypeVar

import bcrypt
import pytest
from prometheus_client import REGISTRY

from services.auth.passwords import BcryptPasswords
from shared import context
from shared.context import Principal
from shared.errors import Unavailable
from tests.waiting import eventually

T = TypeVar("T")


async def test_only_the_right_password_matches() -> None:
    passwords = BcryptPasswords(cost=4)
    hashed = await passwords.hash("correct horse")
    assert await passwords.matches("correct horse", hashed)
    assert not await passwords.matches("Correct horse", hashed)
    assert hashed != await passwords.hash("correct horse")


async def test_every_character_counts_at_any_length() -> None:
    passwords = BcryptPasswords(cost=4)
    long = "x" * 1023
    hashed = await passwords.hash(long + "a")
    assert await passwords.matches(long + "a", hashed)
    assert not await passwords.matches(long + "b", hashed)
    zero = await passwords.hash("before\x00after")
    assert not await passwords.matches("before\x00other", zero)


async def test_the_spelling_of_characters_does_not_matter() -> None:
    passwords = BcryptPasswords(cost=4)
    hashed = await passwords.hash(unicodedata.normalize("NFC", "caffè ﬁn Å"))
    assert await passwords.matches(unicodedata.normalize("NFD", "caffè ﬁn Å"), hashed)


async def test_it_is_the_documented_construction() -> None:
    """base64(SHA-256(password)) of "password", computed with other tools."""
    digest = b"XohImNooBHFR0OVvjcYpJ3NgPQ1qq73WKhHvch0VQtg="
    hashed = bcrypt.hashpw(digest, bcrypt.gensalt(4)).decode()
    assert await BcryptPasswords(cost=4).matches("password", hashed)


# Equal cost


@dataclass
class Rounds:
    """Counts the rounds that bcrypt is asked for, and lets it do them."""

    total: int = 0

    def counting(self, work: Callable[[bytes, bytes], T]) -> Callable[[bytes, bytes], T]:
        def counted(password: bytes, salt: bytes) -> T:
            self.total += 2 ** int(salt.split(b"$")[2])
            return work(password, salt)

        return counted


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch) -> Rounds:
    count = Rounds()
    monkeypatch.setattr(bcrypt, "checkpw", count.counting(bcrypt.checkpw))
    monkeypatch.setattr(bcrypt, "hashpw", count.counting(bcrypt.hashpw))
    return count


@pytest.mark.parametrize("cost", [4, 5, 6, 7, 8])
@pytest.mark.parametrize("password", ["correct horse", "wrong horse"])
async def test_a_cheap_hash_costs_as_much_as_nobodys(rounds: Rounds, cost: int, password: str) -> None:
    passwords = BcryptPasswords(cost=8)
    hashed = await BcryptPasswords(cost).hash("correct horse")
    rounds.total = 0
    assert await passwords.matches(password, hashed) is (password == "correct horse")
    of_somebody, rounds.total = rounds.total, 0
    assert not await passwords.matches(password, None)
    assert of_somebody == rounds.total == 2**8


async def test_a_dear_hash_cannot_be_hidden(rounds: Rounds) -> None:
    hashed = await BcryptPasswords(cost=6).hash("correct horse")
    rounds.total = 0
    assert await BcryptPasswords(cost=5).matches("correct horse", hashed)
    assert rounds.total == 2**6


async def test_only_a_cheap_hash_is_to_be_renewed() -> None:
    hashed = await BcryptPasswords(cost=5).hash("correct horse")
    assert [BcryptPasswords(cost).needs_rehash(hashed) for cost in (4, 5, 6)] == [False, False, True]


# The pool


async def test_the_queue_is_bounded() -> None:
    passwords = BcryptPasswords(cost=6, at_once=1, waiting=3)
    attempts = [asyncio.ensure_future(passwords.hash("x")) for _ in range(10)]
    await asyncio.sleep(0)  # all have begun
    assert REGISTRY.get_sample_value("bcrypt_hashes_running") == 1
    assert REGISTRY.get_sample_value("bcrypt_queue") == 3
    results = await asyncio.gather(*attempts, return_exceptions=True)
    refused = [result for result in results if isinstance(result, Unavailable)]
    assert len(refused) == 6
    assert all(each.retry_after for each in refused)
    assert await passwords.hash("x")
    assert REGISTRY.get_sample_value("bcrypt_queue") == 0
    assert REGISTRY.get_sample_value("bcrypt_hashes_running") == 0


def from_address(passwords: BcryptPasswords, address: str) -> "asyncio.Task[str]":
    surroundings = copy_context()
    surroundings.run(context.principal.set, Principal(client_address=address))
    return asyncio.get_running_loop().create_task(passwords.hash("x"), context=surroundings)


async def test_one_address_cannot_keep_all_others_out() -> None:
    passwords = BcryptPasswords(cost=6, at_once=1, waiting=8)
    flood = [from_address(passwords, "192.0.2.1") for _ in range(50)]  # all begin before the first is done
    others = [from_address(passwords, f"198.51.100.{number}") for number in range(3)]
    refused = await asyncio.gather(*flood, return_exceptions=True)
    assert sum(isinstance(each, Unavailable) for each in refused) == 50 - 1 - 8 + 3
    assert all(await asyncio.gather(*others))


async def test_who_gives_up_when_its_turn_has_come_passes_it_on() -> None:
    passwords = BcryptPasswords(cost=4, at_once=1, waiting=4)
    for _ in range(20):
        first, second, third = (asyncio.create_task(passwords.hash("x")) for _ in range(3))
        await first
        second.cancel()
        assert await third
        await asyncio.gather(second, return_exceptions=True)
    await eventually(lambda: REGISTRY.get_sample_value("bcrypt_hashes_running") == 0)


async def test_who_gives_up_waiting_leaves_the_queue() -> None:
    passwords = BcryptPasswords(cost=6, at_once=1, waiting=1)
    waiting = [asyncio.create_task(passwords.hash("x")) for _ in range(2)]
    await asyncio.sleep(0)
    waiting[1].cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert await passwords.hash("x")


async def test_who_gives_up_on_a_running_hash_does_not_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread cannot be stopped: until it is done, its core is not free."""
    began, may_end = threading.Event(), threading.Event()
    hashpw = bcrypt.hashpw

    def lasting(password: bytes, salt: bytes) -> bytes:
        began.set()
        assert may_end.wait(10)
        return hashpw(password, salt)

    monkeypatch.setattr(bcrypt, "hashpw", lasting)
    passwords = BcryptPasswords(cost=4, at_once=1, waiting=0)
    abandoned = asyncio.create_task(passwords.hash("x"))
    await eventually(began.is_set)
    abandoned.cancel()
    assert isinstance((await asyncio.gather(abandoned, return_exceptions=True))[0], asyncio.CancelledError)
    with pytest.raises(Unavailable):
        await passwords.hash("x")
    may_end.set()
    await eventually(lambda: REGISTRY.get_sample_value("bcrypt_hashes_running") == 0)
    assert await passwords.hash("x")


async def test_the_event_loop_turns_meanwhile() -> None:
    """bcrypt lets go of the interpreter lock; else the loop would turn a few times between two hashes."""
    passwords = BcryptPasswords(cost=9, at_once=2)
    work = asyncio.gather(*(passwords.hash("x") for _ in range(8)))
    turns = 0
    while not work.done():
        turns += 1
        await asyncio.sleep(0)
    await work
    assert turns > 100


async def test_after_closing_no_work_is_taken() -> None:
    passwords = BcryptPasswords(cost=4)
    passwords.close()
    with pytest.raises(RuntimeError):
        await passwords.hash("x")
