import os

import pytest

from services.auth.key_maker import GENERATE, SealingKeyMaker, read_encryption_key, thumbprint
from services.auth.sealing import CannotUnseal, key_from, seal, unseal
from shared.auth.jwk import parse_key
from shared.config import ConfigError, Secret
from shared.errors import Unavailable
from tests.services.auth.conftest import ENCRYPTION_KEY, encryption_key_text


@pytest.mark.parametrize("algorithm", GENERATE)
async def test_a_key_is_made_sealed_and_opened(algorithm: str) -> None:
    made = await SealingKeyMaker(ENCRYPTION_KEY, algorithm).make()
    published = parse_key(made.public_jwk)
    assert (published.key_id, published.algorithm, published.fault) == (made.key_id, algorithm, "")
    assert "d" not in made.public_jwk
    opened = SealingKeyMaker(ENCRYPTION_KEY, "ES256").open(made)  # whatever algorithm we would make
    assert (opened.key_id, opened.algorithm) == (made.key_id, algorithm)
    assert opened.private.public_key()
    with pytest.raises(Unavailable, match="AUTH_KEY_ENCRYPTION_KEY"):
        SealingKeyMaker(os.urandom(32), algorithm).open(made)


async def test_the_private_part_shows_nowhere() -> None:
    made = await SealingKeyMaker(ENCRYPTION_KEY, "ES256").make()
    opened = SealingKeyMaker(ENCRYPTION_KEY, "ES256").open(made)
    assert "sealed" not in repr(made)
    assert "private" not in repr(opened)


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
    key = key_from(b"a secret", b"purpose")
    sealed = seal(key, b"text", b"row 1")
    assert unseal(key, sealed, b"row 1") == b"text"
    assert seal(key, b"text", b"row 1") != sealed
    for other_key, other, context in (
        (key_from(b"a secret", b"another"), sealed, b"row 1"),
        (key_from(b"b secret", b"purpose"), sealed, b"row 1"),
        (key, sealed, b"row 2"),
        (key, sealed[:-1] + b"x", b"row 1"),
        (key, b"", b"row 1"),
        (key, b"short", b"row 1"),
    ):
        with pytest.raises(CannotUnseal):
            unseal(other_key, other, context)
