import asyncio
import statistics
import time
import unicodedata

import bcrypt
import pytest
from prometheus_client import REGISTRY

from services.auth.passwords import BcryptPasswords
from shared.errors import Unavailable


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


async def test_nobody_matches_and_costs_the_same() -> None:
    passwords = BcryptPasswords(cost=8, at_once=1)
    hashed = await passwords.hash("correct horse")

    async def seconds(password_hash: str | None) -> float:
        began = time.perf_counter()
        assert not await passwords.matches("wrong", password_hash)
        return time.perf_counter() - began

    known = [await seconds(hashed) for _ in range(9)]
    unknown = [await seconds(None) for _ in range(9)]
    assert 0.5 < statistics.median(unknown) / statistics.median(known) < 2


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


async def test_who_gives_up_waiting_leaves_the_queue() -> None:
    passwords = BcryptPasswords(cost=6, at_once=1, waiting=1)
    waiting = [asyncio.create_task(passwords.hash("x")) for _ in range(2)]
    await asyncio.sleep(0)
    waiting[1].cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert await passwords.hash("x")


async def test_the_event_loop_stays_quick_meanwhile() -> None:
    passwords = BcryptPasswords(cost=9)
    work = asyncio.gather(*(passwords.hash("x") for _ in range(8)))
    pauses = []
    while not work.done():
        began = time.perf_counter()
        await asyncio.sleep(0)
        pauses.append(time.perf_counter() - began)
    await work
    assert statistics.median(pauses) < 0.01


async def test_after_closing_no_work_is_taken() -> None:
    passwords = BcryptPasswords(cost=4)
    passwords.close()
    with pytest.raises(RuntimeError):
        await passwords.hash("x")
