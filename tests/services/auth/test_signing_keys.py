import asyncio
import json
import os

import pytest
from cryptography.hazmat.primitives.serialization import load_der_private_key

from services.auth.sealing import CannotUnseal, key_from, seal, unseal
from services.auth.signing_keys import GENERATE, KeyRing, read_encryption_key, thumbprint
from shared.auth import jwt
from shared.auth.jwks import LIFETIME_SECONDS
from shared.config import ConfigError, Secret
from shared.errors import Unavailable
from tests.engines import Engines
from tests.services.auth.conftest import ENCRYPTION_KEY, AuthServer, auth_server, encryption_key_text


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
    ring = KeyRing(auth.parts.keys._repository, os.urandom(32), "ES256")
    with pytest.raises(Unavailable, match="AUTH_KEY_ENCRYPTION_KEY"):
        await ring.load()
    with pytest.raises(Unavailable, match="AUTH_KEY_ENCRYPTION_KEY"):
        await ring.check()
    with pytest.raises(Unavailable):
        _ = ring.signing
    assert await auth.query("SELECT count(*) FROM signing_keys") == [(1,)]


async def test_without_keys_tokens_are_not_called_bad(auth: AuthServer) -> None:
    ring = KeyRing(auth.parts.keys._repository, ENCRYPTION_KEY, "ES256")
    for property_ in ("signing", "published", "jwks"):
        with pytest.raises(Unavailable):
            getattr(ring, property_)


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
    rings = [KeyRing(auth.parts.keys._repository, ENCRYPTION_KEY, "EdDSA") for _ in range(3)]
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
    await KeyRing(auth.parts.keys._repository, ENCRYPTION_KEY, "EdDSA").load()
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
        await KeyRing(auth.parts.keys._repository, os.urandom(32), "EdDSA").load()
    assert await auth.query("SELECT count(*) FROM signing_keys") == [(1,)]


async def test_tokens_do_not_show_in_a_repr(auth: AuthServer) -> None:
    assert "sealed" not in repr((await auth.parts.keys._repository.published_keys())[0])
    assert str(ENCRYPTION_KEY) not in repr(auth.parts.keys)


def test_the_thumbprint_is_that_of_rfc_7638() -> None:
    """Section 3.1's example."""
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknj"
        "hMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQ"
        "vRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzK"
        "nqDKgw"
    )
    jwk = {"kty": "RSA", "n": modulus, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"}
    assert thumbprint(jwk) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


@pytest.mark.parametrize("text", ["", "c2hvcnQ", "é" * 43, "A" * 44])
def test_an_encryption_key_has_32_bytes(text: str) -> None:
    with pytest.raises(ConfigError, match="AUTH_KEY_ENCRYPTION_KEY"):
        read_encryption_key(Secret(text))


def test_it_may_be_padded_or_not() -> None:
    assert read_encryption_key(Secret(encryption_key_text())) == ENCRYPTION_KEY
    assert read_encryption_key(Secret(encryption_key_text().rstrip("="))) == ENCRYPTION_KEY


def test_sealing_binds_key_and_context() -> None:
    key = key_from("a secret", b"purpose")
    sealed = seal(key, b"text", b"row 1")
    assert unseal(key, sealed, b"row 1") == b"text"
    assert seal(key, b"text", b"row 1") != sealed
    for other_key, other, context in (
        (key_from("a secret", b"another"), sealed, b"row 1"),
        (key_from("b secret", b"purpose"), sealed, b"row 1"),
        (key, sealed, b"row 2"),
        (key, sealed[:-1] + b"x", b"row 1"),
        (key, b"", b"row 1"),
        (key, b"short", b"row 1"),
    ):
        with pytest.raises(CannotUnseal):
            unseal(other_key, other, context)
