"""The keys of the moment, on a real database."""

import asyncio
import json
import logging
import os
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.serialization import load_der_private_key

from services.auth.key_maker import GENERATE
from services.auth.sealing import CannotUnseal, unseal
from services.auth.wiring import AuthServices
from shared.auth import jwt
from shared.auth.jwks import LIFETIME_SECONDS
from shared.config import Secret
from shared.errors import Unavailable
from tests.engines import Engines
from tests.services.auth.conftest import ENCRYPTION_KEY, AuthServer, auth_server


def another_server(
    auth: AuthServer, algorithm: str = "ES256", encryption_key: bytes = ENCRYPTION_KEY
) -> AuthServices:
    """One on the same database, with settings of its own."""
    ground = auth.services.ground
    settings = replace(ground.settings, signing_algorithm=algorithm, key_encryption_key=encryption_key)
    return AuthServices(replace(ground, settings=settings))


@pytest.mark.parametrize("algorithm", GENERATE)
async def test_tokens_of_every_algorithm_are_verified(
    engines: Engines, database_url: Secret, algorithm: str
) -> None:
    async with auth_server(database_url, engines.redis_url, SIGNING_ALGORITHM=algorithm) as auth:
        await auth.sign_up()
        tokens = await auth.log_in()
        assert auth.claims(tokens).roles == {"user"}
        jwt.verify_signature(tokens.document["access_token"], auth.services.key_ring.published, [algorithm])
        assert (await auth.refresh(tokens.document["refresh_token"])).status == 200


async def test_the_log_tells_when_another_key_signs(
    auth: AuthServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await auth.services.keys.rotate("EdDSA", at_once=True)
    for _ in range(2):
        await auth.services.key_ring.catch_up()
    (told,) = [record for record in caplog.records if record.message == "signing with another key"]
    key = auth.services.key_ring.signing
    assert (told.__dict__["key_id"], told.__dict__["algorithm"]) == (key.key_id, "EdDSA")


async def test_a_key_survives_a_restart(engines: Engines, database_url: Secret) -> None:
    async with auth_server(database_url, engines.redis_url) as before:
        await before.sign_up()
        tokens = await before.log_in()
    async with auth_server(database_url, engines.redis_url) as after:
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
    other = another_server(auth, "ES256", os.urandom(32))
    with pytest.raises(Unavailable, match="AUTH_KEY_ENCRYPTION_KEY"):
        await other.key_supply.ensure()
    with pytest.raises(Unavailable, match="AUTH_KEY_ENCRYPTION_KEY"):
        await other.key_ring.check()
    with pytest.raises(Unavailable):
        _ = other.key_ring.signing
    assert await auth.query("SELECT count(*) FROM signing_keys") == [(1,)]


async def test_without_keys_tokens_are_not_called_bad(auth: AuthServer) -> None:
    other = another_server(auth, "ES256")
    for property_ in ("signing", "published", "jwks"):
        with pytest.raises(Unavailable):
            getattr(other.key_ring, property_)


async def test_a_key_is_published_before_it_signs_and_after(auth: AuthServer) -> None:
    """What the tables allow: the operator's commands for it come on top."""
    first = auth.services.key_ring.signing.key_id
    await auth.execute("UPDATE signing_keys SET signs_until = now() - interval '1 s'")
    await auth.services.key_supply.ensure()
    second = auth.services.key_ring.signing.key_id
    assert second != first
    assert {key["kid"] for key in json.loads(auth.services.key_ring.jwks)["keys"]} == {first, second}
    await auth.execute(f"UPDATE signing_keys SET published_until = now() WHERE key_id = '{first}'")
    await auth.services.key_supply.ensure()
    assert first not in auth.services.key_ring.published


async def test_another_algorithm_signs_once_every_verifier_knows_its_key(auth: AuthServer) -> None:
    first = auth.services.key_ring.signing.key_id
    servers = [another_server(auth, "EdDSA") for _ in range(3)]
    await asyncio.gather(*(server.key_supply.ensure() for server in servers))
    assert await auth.query("SELECT algorithm FROM signing_keys ORDER BY signs_from") == [
        ("ES256",),
        ("EdDSA",),
    ]
    for server in servers:
        assert server.key_ring.signing.key_id == first
        assert len(server.key_ring.published) == 2
    await auth.execute(f"UPDATE signing_keys SET signs_from = signs_from - interval '{LIFETIME_SECONDS} s'")
    await servers[0].key_supply.ensure()
    assert servers[0].key_ring.signing.key_id == first  # some may still be without it
    await auth.execute("UPDATE signing_keys SET signs_from = signs_from - interval '60 s'")
    await servers[0].key_supply.ensure()
    assert servers[0].key_ring.signing.algorithm == "EdDSA"


async def test_going_back_to_an_algorithm_needs_no_new_key(auth: AuthServer) -> None:
    await another_server(auth, "EdDSA").key_supply.ensure()
    await auth.execute("UPDATE signing_keys SET signs_from = signs_from - interval '1 hour'")
    await auth.services.key_supply.ensure()
    assert auth.services.key_ring.signing.algorithm == "ES256"
    assert await auth.query("SELECT count(*) FROM signing_keys") == [(2,)]


async def test_a_key_that_will_end_has_its_successor_published_in_time(auth: AuthServer) -> None:
    first = auth.services.key_ring.signing.key_id
    await auth.execute("UPDATE signing_keys SET signs_until = now() + interval '10 minutes'")
    await auth.services.key_supply.ensure()
    assert len(auth.services.key_ring.published) == 1
    await auth.execute("UPDATE signing_keys SET signs_until = now() + interval '5 minutes'")
    await auth.services.key_supply.ensure()
    assert len(auth.services.key_ring.published) == 2
    assert auth.services.key_ring.signing.key_id == first


async def test_who_cannot_open_the_keys_makes_none(auth: AuthServer) -> None:
    with pytest.raises(Unavailable, match="AUTH_KEY_ENCRYPTION_KEY"):
        await another_server(auth, "EdDSA", os.urandom(32)).key_supply.ensure()
    assert await auth.query("SELECT count(*) FROM signing_keys") == [(1,)]


async def test_tokens_do_not_show_in_a_repr(auth: AuthServer) -> None:
    assert "sealed" not in repr((await auth.services.key_ring._repository.published_keys())[0])
    assert str(ENCRYPTION_KEY) not in repr(auth.services.key_ring)


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
        await auth.services.key_ring.check()
    await auth.services.key_supply.ensure()
    assert (await auth.log_in()).status == 200
    assert (await auth.refresh(tokens.document["refresh_token"])).status == 401


async def test_nor_when_the_key_that_follows_cannot_be_opened(auth: AuthServer) -> None:
    await auth.sign_up()
    await auth.execute("UPDATE signing_keys SET revoked_at = now()")
    stranger = another_server(auth, encryption_key=os.urandom(32))
    await stranger.key_supply.ensure()
    assert (await auth.log_in()).status == 503
    assert stranger.key_ring.signing.key_id in auth.services.key_ring.published
    with pytest.raises(Unavailable, match="AUTH_KEY_ENCRYPTION_KEY"):
        await auth.services.key_ring.check()


async def test_while_the_database_is_away_the_keys_last_known_are_published(auth: AuthServer) -> None:
    known = auth.services.key_ring.jwks

    async def fails() -> None:
        raise Unavailable("away")

    auth.services.key_ring._read_once._work = fails
    answer = await auth.call("GET", "/.well-known/jwks.json")
    assert (answer.status, answer.document) == (200, json.loads(known))


async def test_many_who_ask_at_once_cost_one_reading(auth: AuthServer) -> None:
    readings = 0
    read = auth.services.key_ring._read_once._work

    async def counted() -> None:
        nonlocal readings
        readings += 1
        await read()

    auth.services.key_ring._read_once._work = counted
    await asyncio.gather(*(auth.call("GET", "/.well-known/jwks.json") for _ in range(100)))
    assert readings <= 3
