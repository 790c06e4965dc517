"""The keys of the moment, on a real database."""

import asyncio
import json
import os

import pytest
from cryptography.hazmat.primitives.serialization import load_der_private_key

from services.auth.key_maker import GENERATE, KeyMaker
from services.auth.sealing import CannotUnseal, unseal
from services.auth.signing_keys import KeyRing
from shared.auth import jwt
from shared.auth.jwks import LIFETIME_SECONDS
from shared.errors import Unavailable
from tests.engines import Engines
from tests.services.auth.conftest import ENCRYPTION_KEY, AuthServer, auth_server


def ring_of(auth: AuthServer, algorithm: str = "ES256", encryption_key: bytes = ENCRYPTION_KEY) -> KeyRing:
    """What another auth server on the same database has."""
    keys = auth.parts.keys
    return KeyRing(keys._repository, KeyMaker(encryption_key, algorithm), auth.parts.audit, keys._times)


@pytest.mark.parametrize("algorithm", GENERATE)
async def test_tokens_of_every_algorithm_are_verified(engines: Engines, algorithm: str) -> None:
    async with auth_server(engines.new_database(), engines.redis_url, SIGNING_ALGORITHM=algorithm) as auth:
        await auth.sign_up()
        tokens = await auth.log_in()
        assert auth.claims(tokens).roles == {"user"}
        jwt.verify_signature(tokens.document["access_token"], auth.parts.keys.published, [algorithm])
        assert (await auth.refresh(tokens.document["refresh_token"])).status == 200


async def test_a_key_survives_a_restart(engines: Engines) -> None:
    url = engines.new_database()
    async with auth_server(url, engines.redis_url) as before:
        await before.sign_up()
        tokens = await before.log_in()
    async with auth_server(url, engines.redis_url) as after:
        assert after.claims(tokens).subject
        assert (await after.refresh(tokens.document["refresh_token"])).status == 200
        assert await after.query("SELECT count(*) FROM signing_keys") == [(1,)]


async def test_the_private_part_is_encrypted(auth: AuthServer) -> None:
    ((key_id, sealed),) = await auth.query("SELECT key_id, sealed_private FROM signing_keys")
    with pytest.raises(ValueError, match="."):  # noqa: RUF043
        load_der_private_key(sealed, None)
    assert load_der_private_key(unseal(ENCRYPTION_KEY, sealed, key_id.encode()), None)
    with pytest.raises(CannotUnseal):
        unseal(ENCRYPTION_KEY, sealed, b"another key's row")


async def test_another_encryption_key_is_noticed_and_makes_no_new_key(auth: AuthServer) -> None:
    other = ring_of(auth, "ES256", os.urandom(32))
    with pytest.raises(Unavailable, match="AUTH_KEY_ENCRYPTION_KEY"):
        await other.load()
    with pytest.raises(Unavailable, match="AUTH_KEY_ENCRYPTION_KEY"):
        await other.check()
    with pytest.raises(Unavailable):
        _ = other.signing
    assert await auth.query("SELECT count(*) FROM signing_keys") == [(1,)]


async def test_without_keys_tokens_are_not_called_bad(auth: AuthServer) -> None:
    other = ring_of(auth, "ES256")
    for property_ in ("signing", "published", "jwks"):
        with pytest.raises(Unavailable):
            getattr(other, property_)


async def test_a_key_is_published_before_it_signs_and_after(auth: AuthServer) -> None:
    """What the tables allow: the operator's commands for it come on top."""
    first = auth.parts.keys.signing.key_id
    await auth.execute("UPDATE signing_keys SET signs_until = now() - interval '1 s'")
    await auth.parts.keys.load()
    second = auth.parts.keys.signing.key_id
    assert second != first
    assert {key["kid"] for key in json.loads(auth.parts.keys.jwks)["keys"]} == {first, second}
    await auth.execute(f"UPDATE signing_keys SET published_until = now() WHERE key_id = '{first}'")
    await auth.parts.keys.load()
    assert first not in auth.parts.keys.published


async def test_another_algorithm_signs_once_every_verifier_knows_its_key(auth: AuthServer) -> None:
    first = auth.parts.keys.signing.key_id
    rings = [ring_of(auth, "EdDSA") for _ in range(3)]
    await asyncio.gather(*(ring.load() for ring in rings))
    assert await auth.query("SELECT algorithm FROM signing_keys ORDER BY signs_from") == [
        ("ES256",),
        ("EdDSA",),
    ]
    for ring in rings:
        assert ring.signing.key_id == first
        assert len(ring.published) == 2
    await auth.execute(f"UPDATE signing_keys SET signs_from = signs_from - interval '{LIFETIME_SECONDS} s'")
    await rings[0].load()
    assert rings[0].signing.key_id == first  # some may still be without it
    await auth.execute("UPDATE signing_keys SET signs_from = signs_from - interval '60 s'")
    await rings[0].load()
    assert rings[0].signing.algorithm == "EdDSA"


async def test_going_back_to_an_algorithm_needs_no_new_key(auth: AuthServer) -> None:
    await ring_of(auth, "EdDSA").load()
    await auth.execute("UPDATE signing_keys SET signs_from = signs_from - interval '1 hour'")
    await auth.parts.keys.load()
    assert auth.parts.keys.signing.algorithm == "ES256"
    assert await auth.query("SELECT count(*) FROM signing_keys") == [(2,)]


async def test_a_key_that_will_end_has_its_successor_published_in_time(auth: AuthServer) -> None:
    first = auth.parts.keys.signing.key_id
    await auth.execute("UPDATE signing_keys SET signs_until = now() + interval '10 minutes'")
    await auth.parts.keys.load()
    assert len(auth.parts.keys.published) == 1
    await auth.execute("UPDATE signing_keys SET signs_until = now() + interval '5 minutes'")
    await auth.parts.keys.load()
    assert len(auth.parts.keys.published) == 2
    assert auth.parts.keys.signing.key_id == first


async def test_who_cannot_open_the_keys_makes_none(auth: AuthServer) -> None:
    with pytest.raises(Unavailable, match="AUTH_KEY_ENCRYPTION_KEY"):
        await ring_of(auth, "EdDSA", os.urandom(32)).load()
    assert await auth.query("SELECT count(*) FROM signing_keys") == [(1,)]


async def test_tokens_do_not_show_in_a_repr(auth: AuthServer) -> None:
    assert "sealed" not in repr((await auth.parts.keys._repository.published_keys())[0])
    assert str(ENCRYPTION_KEY) not in repr(auth.parts.keys)


# What a revoked key may do


async def test_a_revoked_key_signs_no_more_even_when_nothing_else_can(auth: AuthServer) -> None:
    """Revoked behind our back: the operator's command would have made another key."""
    await auth.sign_up()
    tokens = await auth.log_in()
    await auth.execute("UPDATE signing_keys SET revoked_at = now()")
    assert (await auth.log_in()).status == 503
    assert (await auth.refresh(tokens.document["refresh_token"])).status == 503
    assert (await auth.call("GET", "/.well-known/jwks.json")).status == 503
    with pytest.raises(Unavailable, match="no key that may sign"):
        await auth.parts.keys.check()
    await auth.parts.keys.load()
    assert (await auth.log_in()).status == 200
    assert (await auth.refresh(tokens.document["refresh_token"])).status == 401


async def test_nor_when_the_key_that_follows_cannot_be_opened(auth: AuthServer) -> None:
    await auth.sign_up()
    await auth.execute("UPDATE signing_keys SET revoked_at = now()")
    stranger = ring_of(auth, encryption_key=os.urandom(32))
    await stranger.load()
    assert (await auth.log_in()).status == 503
    assert stranger.signing.key_id in auth.parts.keys.published
    with pytest.raises(Unavailable, match="AUTH_KEY_ENCRYPTION_KEY"):
        await auth.parts.keys.check()


async def test_while_the_database_is_away_the_keys_last_known_are_published(auth: AuthServer) -> None:
    known = auth.parts.keys.jwks

    async def fails() -> None:
        raise Unavailable("away")

    auth.parts.keys._read_once._work = fails
    answer = await auth.call("GET", "/.well-known/jwks.json")
    assert (answer.status, answer.document) == (200, json.loads(known))


async def test_many_who_ask_at_once_cost_one_reading(auth: AuthServer) -> None:
    readings = 0
    read = auth.parts.keys._read_once._work

    async def counted() -> None:
        nonlocal readings
        readings += 1
        await read()

    auth.parts.keys._read_once._work = counted
    await asyncio.gather(*(auth.call("GET", "/.well-known/jwks.json") for _ in range(100)))
    assert readings <= 3
