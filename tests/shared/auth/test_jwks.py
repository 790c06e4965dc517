import asyncio
import json
import secrets
from collections.abc import Awaitable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared import base64url
from shared.auth import jwks
from shared.auth.jwks import JWKSCache
from shared.errors import Unavailable
from tests.waiting import eventually

SPACING = 0.05
DEADLINE = 5.0


class Issuer:
    """Publishes keys of the given ids, counts who asks, and fails or hangs when told to."""

    def __init__(self, *key_ids: str) -> None:
        self.key_ids = list(key_ids)
        self.fetches = 0
        self.is_down = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def fetch(self) -> bytes:
        self.fetches += 1
        key_ids = list(self.key_ids)  # what it publishes is decided when it is asked
        await self.gate.wait()
        if self.is_down:
            raise ConnectionError("refused")
        return json.dumps({"keys": [_jwk(key_id) for key_id in key_ids]}).encode()


def _jwk(key_id: str) -> dict[str, str]:
    x = base64url.encode(Ed25519PrivateKey.generate().public_key().public_bytes_raw())
    return {"kty": "OKP", "crv": "Ed25519", "kid": key_id, "x": x}


def cache(issuer: Issuer, *, lifetime: float = 60.0, cool_down: float = 60.0) -> JWKSCache:
    return JWKSCache(issuer.fetch, lifetime=lifetime, spacing=SPACING, cool_down=cool_down)


async def soon(work: Awaitable[object]) -> None:
    async with asyncio.timeout(DEADLINE):
        await work


async def test_keys_are_fetched_at_the_start() -> None:
    issuer = Issuer("a", "b")
    async with cache(issuer) as keys:
        await eventually(lambda: keys.is_loaded)
        assert "a" in keys.keys
        assert "b" in keys.keys
        await keys.check()


async def test_they_are_fetched_again_when_their_life_is_over() -> None:
    issuer = Issuer("a")
    async with cache(issuer, lifetime=0.01) as keys:
        await eventually(lambda: keys.is_loaded)
        issuer.key_ids = ["b"]
        await eventually(lambda: "b" in keys.keys)
        assert "a" not in keys.keys


async def test_a_failure_keeps_the_old_keys() -> None:
    issuer = Issuer("a")
    async with cache(issuer, lifetime=0.01) as keys:
        await eventually(lambda: keys.is_loaded)
        issuer.is_down = True
        before = issuer.fetches
        await eventually(lambda: issuer.fetches > before + 1)
        assert "a" in keys.keys
        issuer.is_down = False
        issuer.key_ids = ["b"]
        await eventually(lambda: "b" in keys.keys)


async def test_without_any_key_nothing_can_be_judged() -> None:
    issuer = Issuer("a")
    issuer.is_down = True
    async with cache(issuer) as keys:
        with pytest.raises(Unavailable):
            await soon(keys.refresh_for("a"))
        with pytest.raises(Unavailable):
            await keys.check()
        issuer.is_down = False
        await soon(keys.refresh_for("a"))
        assert "a" in keys.keys


async def test_a_known_key_costs_nothing() -> None:
    issuer = Issuer("a")
    async with cache(issuer) as keys:
        await soon(keys.refresh_for("a"))
        for _ in range(1000):
            await keys.refresh_for("a")
        assert issuer.fetches <= 2


async def test_a_new_key_is_fetched_when_it_is_met() -> None:
    issuer = Issuer("a")
    async with cache(issuer) as keys:
        await eventually(lambda: keys.is_loaded)
        issuer.key_ids.append("b")
        await soon(keys.refresh_for("b"))
        assert "b" in keys.keys


async def test_a_key_that_a_fetch_did_not_bring_is_not_asked_for_again_during_the_cool_down() -> None:
    issuer = Issuer("a")
    async with cache(issuer) as keys:
        await soon(keys.refresh_for("forged"))
        before = issuer.fetches
        for _ in range(1000):
            await keys.refresh_for("forged")
        assert issuer.fetches == before


async def test_it_gets_another_chance_after_the_cool_down_or_when_the_issuer_says_so() -> None:
    issuer = Issuer("a")
    async with cache(issuer, cool_down=0.2) as keys:
        await soon(keys.refresh_for("late"))
        issuer.key_ids.append("late")
        async with asyncio.timeout(DEADLINE):
            while "late" not in keys.keys:
                await keys.refresh_for("late")
                await asyncio.sleep(0.01)
        await soon(keys.refresh_for("later"))
        issuer.key_ids.append("later")
        keys.refresh_soon()
        await eventually(lambda: "later" in keys.keys)


async def test_forged_ids_cannot_delay_a_real_one_nor_flood_the_issuer() -> None:
    issuer = Issuer("a")
    loop = asyncio.get_running_loop()
    async with cache(issuer) as keys:
        await eventually(lambda: keys.is_loaded)
        started, before = loop.time(), issuer.fetches
        flood = [asyncio.create_task(keys.refresh_for(secrets.token_hex(8))) for _ in range(3000)]
        issuer.key_ids.append("real")
        flood += [asyncio.create_task(keys.refresh_for(secrets.token_hex(8))) for _ in range(3000)]
        await soon(keys.refresh_for("real"))
        assert "real" in keys.keys
        await asyncio.gather(*flood)
        allowed = (loop.time() - started) / SPACING + 2
        assert issuer.fetches - before <= allowed
        assert len(keys._absent) <= jwks.MAX_ABSENT


async def test_who_comes_during_a_fetch_waits_for_the_next_one() -> None:
    issuer = Issuer("a")
    async with cache(issuer) as keys:
        await eventually(lambda: keys.is_loaded)
        issuer.gate.clear()
        first = asyncio.create_task(keys.refresh_for("x"))
        before = issuer.fetches
        await eventually(lambda: issuer.fetches > before)
        issuer.key_ids.append("b")  # published after that fetch has read the table
        second = asyncio.create_task(keys.refresh_for("b"))
        await asyncio.sleep(0)
        issuer.gate.set()
        await soon(asyncio.gather(first, second))
        assert "b" in keys.keys


async def test_rubbish_from_the_issuer_is_a_failure() -> None:
    async def rubbish() -> bytes:
        return b"<html>"

    async with JWKSCache(rubbish, spacing=SPACING) as keys:
        with pytest.raises(Unavailable):
            await soon(keys.refresh_for("a"))


async def test_an_issuer_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwks, "FETCH_SECONDS", 0.05)
    issuer = Issuer("a")
    issuer.gate.clear()
    async with cache(issuer) as keys:
        with pytest.raises(Unavailable):
            await soon(keys.refresh_for("a"))
