"""Every way a token can be wrong has a reason code of its own, and each reason stands here."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given
from hypothesis import strategies as st

from shared import base64url
from shared.auth import jwt
from shared.auth.jwk import ALGORITHMS, KeySet, VerificationKey, parse_key
from shared.auth.jwt import TokenRefused

NOW = 1_767_225_600.0
ISSUER, AUDIENCE = "https://shop.example", "https://api.shop.example"

P256 = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)
ED25519 = Ed25519PrivateKey.generate()

HEADER: dict[str, Any] = {"alg": "ES256", "kid": "p256", "typ": "at+jwt"}
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "sub": "u-1",
    "client_id": "web",
    "iat": NOW - 1.5,
    "nbf": NOW - 2,
    "exp": NOW + 600,
    "jti": "t-1",
    "sid": "s-1",
    "roles": ["user", "admin"],
}


def b64(octets: bytes) -> str:
    return base64url.encode(octets)


def number(value: int, size: int) -> str:
    return b64(value.to_bytes(size, "big"))


def p256_jwk(key: ec.EllipticCurvePrivateKey = P256, **members: Any) -> dict[str, Any]:
    point = key.public_key().public_numbers()
    return {
        "kty": "EC",
        "crv": "P-256",
        "kid": "p256",
        "x": number(point.x, 32),
        "y": number(point.y, 32),
        **members,
    }


def rsa_jwk(key: rsa.RSAPrivateKey = RSA, **members: Any) -> dict[str, Any]:
    numbers = key.public_key().public_numbers()
    size = (numbers.n.bit_length() + 7) // 8
    return {"kty": "RSA", "kid": "rsa", "n": number(numbers.n, size), "e": "AQAB", **members}


def ed25519_jwk(**members: Any) -> dict[str, Any]:
    return {
        "kty": "OKP",
        "crv": "Ed25519",
        "kid": "ed",
        "x": b64(ED25519.public_key().public_bytes_raw()),
        **members,
    }


KEYS = KeySet(parse_key(jwk) for jwk in (p256_jwk(use="sig", alg="ES256"), rsa_jwk(), ed25519_jwk()))


def sign_es256(signed: bytes, key: ec.EllipticCurvePrivateKey = P256) -> bytes:
    r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def sign_raw(header: bytes, payload: bytes) -> str:
    signed = f"{b64(header)}.{b64(payload)}"
    return f"{signed}.{b64(sign_es256(signed.encode()))}"


def sign(header: dict[str, Any] | None = None, claims: dict[str, Any] | None = None) -> str:
    return sign_raw(json.dumps(header or HEADER).encode(), json.dumps(claims or CLAIMS).encode())


def verify(token: str, keys: KeySet = KEYS, now: float = NOW, **options: Any) -> jwt.Claims:
    settings: dict[str, Any] = {"issuer": ISSUER, "audience": AUDIENCE, "algorithms": ALGORITHMS, **options}
    return jwt.verify(token, keys, now=now, **settings)


def reason(token: str, keys: KeySet = KEYS, now: float = NOW, **options: Any) -> str:
    with pytest.raises(TokenRefused) as refused:
        verify(token, keys, now, **options)
    assert refused.value.reason in jwt.REASONS
    return refused.value.reason


def without(members: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in members.items() if key != name}


# What is right


def test_a_good_token_says_who_asks() -> None:
    claims = verify(sign())
    assert (claims.subject, claims.session_id, claims.token_id, claims.key_id) == (
        "u-1",
        "s-1",
        "t-1",
        "p256",
    )
    assert claims.issued_at == NOW - 1.5
    assert claims.principal.roles == {"user", "admin"}
    assert claims.principal.token_expires == int(NOW + 600)


def test_every_algorithm_is_verified() -> None:
    for algorithm, key_id in (("ES256", "p256"), ("RS256", "rsa"), ("EdDSA", "ed")):
        header = b64(json.dumps({**HEADER, "alg": algorithm, "kid": key_id}).encode())
        signed = f"{header}.{b64(json.dumps(CLAIMS).encode())}"
        signatures = {
            "ES256": sign_es256,
            "RS256": lambda octets: RSA.sign(octets, padding.PKCS1v15(), SHA256()),
            "EdDSA": ED25519.sign,
        }
        token = f"{signed}.{b64(signatures[algorithm](signed.encode()))}"
        assert verify(token).key_id == key_id
        assert jwt.verify_signature(token, KEYS, [algorithm]) == json.dumps(CLAIMS).encode()


def test_audience_may_be_one_of_a_list_and_type_may_be_spelled_out() -> None:
    assert verify(sign(claims={**CLAIMS, "aud": ["https://other.example", AUDIENCE]})).subject == "u-1"
    assert verify(sign({**HEADER, "typ": "application/at+jwt"})).subject == "u-1"


def test_a_refresh_token_is_another_kind() -> None:
    token = sign({**HEADER, "typ": "refresh+jwt"}, without(CLAIMS, "roles"))
    assert verify(token, kind=jwt.REFRESH_TOKEN).session_id == "s-1"
    assert reason(token) == "wrong-type"
    assert reason(sign(), kind=jwt.REFRESH_TOKEN) == "wrong-type"


# The header


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"alg": "none"}, "algorithm"),
        ({"alg": "HS256"}, "algorithm"),
        ({"alg": "ES384"}, "algorithm"),
        ({"alg": "es256"}, "algorithm"),
        ({"alg": ["ES256"]}, "algorithm"),
        ({"alg": None}, "algorithm"),
        ({"alg": "RS256"}, "key-algorithm"),
        ({"kid": "unknown"}, "unknown-key"),
        ({"kid": "rsa"}, "key-algorithm"),
        ({"kid": ""}, "no-key-id"),
        ({"kid": 1}, "no-key-id"),
        ({"kid": None}, "no-key-id"),
        ({"typ": "JWT"}, "wrong-type"),
        ({"typ": "at+JWT"}, "wrong-type"),
        ({"typ": None}, "wrong-type"),
        ({"typ": []}, "wrong-type"),
        ({"crit": []}, "forbidden-header"),
        ({"crit": ["exp"]}, "forbidden-header"),
        ({"b64": True}, "forbidden-header"),
        ({"b64": False}, "forbidden-header"),
        ({"jku": "https://evil.example/jwks.json"}, "forbidden-header"),
        ({"jwk": p256_jwk()}, "forbidden-header"),
        ({"x5u": "https://evil.example/cert"}, "forbidden-header"),
        ({"x5c": ["MII"]}, "forbidden-header"),
    ],
)
def test_a_header_that_asks_for_something_else_is_refused(change: dict[str, Any], expected: str) -> None:
    assert reason(sign({**HEADER, **change})) == expected


@pytest.mark.parametrize(
    ("name", "expected"), [("alg", "algorithm"), ("kid", "no-key-id"), ("typ", "wrong-type")]
)
def test_a_header_without_a_needed_member_is_refused(name: str, expected: str) -> None:
    assert reason(sign(without(HEADER, name))) == expected


def test_only_algorithms_on_the_callers_list_count() -> None:
    assert reason(sign(), algorithms=["RS256"]) == "algorithm"
    assert reason(sign({**HEADER, "alg": "none"}), algorithms=["none"]) == "key-algorithm"


@pytest.mark.parametrize(
    "header",
    [
        b'{"alg":"none","alg":"ES256","kid":"p256","typ":"at+jwt"}',
        b'{"alg":"ES256","kid":"p256","typ":"at+jwt","x":{"a":1,"a":2}}',
        b'["alg"]',
        b"null",
        b"",
        b"{",
        b'{"alg":"ES256","kid":"p256","typ":"at+jwt"} x',
        b'{"alg":"ES256","kid":"p256","typ":"at+jwt","n":NaN}',
        b'\xef\xbb\xbf{"alg":"ES256","kid":"p256","typ":"at+jwt"}',
        '{"alg":"ES256","kid":"p256","typ":"at+jwt"}'.encode("utf-16"),
        b'{"\xff":1}',
        b"[" * 4000,
        b'{"n":' + b"9" * 5000 + b"}",
    ],
)
def test_a_header_that_is_no_unambiguous_object_is_refused(header: bytes) -> None:
    assert reason(sign_raw(header, json.dumps(CLAIMS).encode())) == "malformed"


# The spelling


def test_the_parts_have_one_spelling() -> None:
    header, payload, signature = sign().split(".")
    last = signature[-1]
    spare_bits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    sibling = spare_bits[spare_bits.index(last) + 1]  # 64 bytes leave four spare bits, all zero
    for token in (
        f"{header}.{payload}.{signature[:-1]}{sibling}",
        f"{header}.{payload}.{signature}=",
        f"{header}.{payload}.{signature}==",
        f"{header}.{payload}.{signature[:40]} {signature[40:]}",
        f"{header}.{payload}.{signature}\n",
        f"{header}=.{payload}.{signature}",
        f"{header}.{payload}.{signature}".replace("-", "+").replace("_", "/") + "+",
        f"{header}.{payload}.é",
        f"{header}.{payload}",
        f"{header}.{payload}.{signature}.",
        f"{header}.{payload}.{signature}.{signature}.{signature}",
        "",
        "..",
    ):
        assert reason(token) == "malformed"


def test_a_token_has_a_longest_length() -> None:
    longest = sign(claims={**CLAIMS, "x": "x" * 5400})
    assert len(longest) < jwt.MAX_TOKEN_CHARACTERS
    assert verify(longest).subject == "u-1"
    assert reason(sign(claims={**CLAIMS, "x": "x" * 6200})) == "too-long"


@given(st.text(max_size=300))
def test_no_text_is_a_token(text: str) -> None:
    with pytest.raises(TokenRefused):
        verify(text)


@given(st.data())
def test_no_changed_token_is_accepted(data: st.DataObject) -> None:
    token = sign()
    position = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.sampled_from("ABCxyz019-_.=").filter(lambda letter: letter != token[position]))
    with pytest.raises(TokenRefused):
        verify(token[:position] + letter + token[position + 1 :])


# The signature


def test_a_signature_by_somebody_else_is_refused() -> None:
    signed = sign().rpartition(".")[0]
    forged = sign_es256(signed.encode(), ec.generate_private_key(ec.SECP256R1()))
    assert reason(f"{signed}.{b64(forged)}") == "signature"


@pytest.mark.parametrize("signature", [b"", b"\0" * 64, b"\xff" * 64, b"\1" * 63, b"\1" * 65])
def test_a_signature_of_impossible_shape_is_refused(signature: bytes) -> None:
    assert reason(f"{sign().rpartition('.')[0]}.{b64(signature)}") == "signature"


def test_a_der_signature_is_refused() -> None:
    signed = sign().rpartition(".")[0]
    der = P256.sign(signed.encode(), ec.ECDSA(SHA256()))
    assert reason(f"{signed}.{b64(der)}") == "signature"


def test_the_signature_covers_header_and_payload() -> None:
    header, _, signature = sign().split(".")
    _, payload, _ = sign(claims={**CLAIMS, "sub": "root"}).split(".")
    assert reason(f"{header}.{payload}.{signature}") == "signature"


def test_the_signature_is_checked_before_anything_in_the_claims() -> None:
    signed = sign(claims={}).rpartition(".")[0]
    assert reason(f"{signed}.{b64(bytes(64))}") == "signature"


# The keys


def test_two_keys_of_one_id_are_refused() -> None:
    assert reason(sign(), KeySet([parse_key(p256_jwk()), parse_key(p256_jwk())])) == "ambiguous-key"
    assert reason(sign(), KeySet([parse_key(p256_jwk()), parse_key(rsa_jwk(kid="p256"))])) == "ambiguous-key"
    assert reason(sign(), KeySet([parse_key(p256_jwk()), parse_key(p256_jwk(use="enc"))])) == "ambiguous-key"


@pytest.mark.parametrize(
    ("jwk", "expected"),
    [
        (p256_jwk(use="enc"), "key-use"),
        (p256_jwk(use=None), "key-use"),
        (p256_jwk(key_ops=["sign"]), "key-operations"),
        (p256_jwk(key_ops="verify"), "key-operations"),
        (p256_jwk(key_ops=[]), "key-operations"),
        (p256_jwk(alg="ES384"), "key-algorithm"),
        (p256_jwk(alg="RS256"), "key-algorithm"),
        (p256_jwk(alg=None), "key-algorithm"),
        (p256_jwk(d="AQ"), "key-not-public"),
        (p256_jwk(crv="P-384"), "key-type"),
        (p256_jwk(crv=["P-256"]), "key-type"),
        (p256_jwk(kty="oct", k="AQ"), "key-not-public"),
        (p256_jwk(kty="oct"), "key-type"),
        (without(p256_jwk(), "kty"), "key-type"),
        (without(p256_jwk(), "y"), "key-malformed"),
        (p256_jwk(x=7), "key-malformed"),
        (p256_jwk(y=number(1, 32)), "key-malformed"),
        (p256_jwk(x="AQAB"), "key-malformed"),
        (p256_jwk(x=p256_jwk()["x"] + "="), "key-malformed"),
        (ed25519_jwk(kid="p256", x="AQAB"), "key-malformed"),
        (rsa_jwk(kid="p256", n="AA"), "key-too-weak"),
        (rsa_jwk(kid="p256", e="AA"), "key-malformed"),
    ],
)
def test_a_key_that_must_not_verify_is_refused(jwk: dict[str, Any], expected: str) -> None:
    assert reason(sign(), KeySet([parse_key(jwk)])) == expected


@pytest.mark.parametrize(("bits", "expected"), [(1024, "key-too-weak"), (2047, "key-too-weak"), (2048, "")])
def test_an_rsa_key_has_2048_bits_or_more(bits: int, expected: str) -> None:
    modulus = (1 << bits) - 1
    key = parse_key({"kty": "RSA", "kid": "r", "n": number(modulus, (bits + 7) // 8), "e": "AQAB"})
    assert key.fault == expected


def test_key_ops_that_allow_verifying_are_fine() -> None:
    assert verify(sign(), KeySet([parse_key(p256_jwk(key_ops=["verify"], use="sig"))])).subject == "u-1"


def test_one_bad_key_does_not_spoil_a_set() -> None:
    document = {"keys": [{"kty": "oct", "kid": "x"}, {"kid": 3}, 7, {"kty": "EC"}, p256_jwk()]}
    keys = KeySet.from_json(json.dumps(document).encode())
    assert verify(sign(), keys).subject == "u-1"
    assert len(keys) == 2


@pytest.mark.parametrize("document", [b"", b"[]", b"{}", b'{"keys":{}}', b'{"keys":[],"keys":[]}', b"<html>"])
def test_what_is_no_key_set_is_an_error(document: bytes) -> None:
    with pytest.raises(ValueError, match=r"Expecting|object|keys|duplicate"):
        KeySet.from_json(document)


# The claims


@pytest.mark.parametrize("name", sorted(CLAIMS))
def test_a_missing_claim_is_refused(name: str) -> None:
    assert reason(sign(claims=without(CLAIMS, name))) == f"missing-{name}"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"iss": "https://evil.example"}, "issuer"),
        ({"iss": f"{ISSUER}/"}, "issuer"),
        ({"iss": [ISSUER]}, "bad-iss"),
        ({"aud": "https://evil.example"}, "audience"),
        ({"aud": ["https://evil.example"]}, "audience"),
        ({"aud": []}, "bad-aud"),
        ({"aud": [AUDIENCE, 1]}, "bad-aud"),
        ({"aud": {AUDIENCE: 1}}, "bad-aud"),
        ({"aud": None}, "bad-aud"),
        ({"exp": NOW - 5}, "expired"),
        ({"exp": True}, "bad-exp"),
        ({"exp": None}, "bad-exp"),
        ({"exp": str(NOW + 600)}, "bad-exp"),
        ({"exp": [NOW + 600]}, "bad-exp"),
        ({"exp": -1}, "bad-exp"),
        ({"exp": 10**400}, "bad-exp"),
        ({"nbf": NOW + 6}, "not-yet-valid"),
        ({"nbf": False}, "bad-nbf"),
        ({"nbf": "0"}, "bad-nbf"),
        ({"iat": NOW + 6}, "issued-in-the-future"),
        ({"iat": True}, "bad-iat"),
        ({"sub": ""}, "bad-sub"),
        ({"sub": 7}, "bad-sub"),
        ({"sub": "u\r\nX-Authenticated-Roles: admin"}, "bad-sub"),
        ({"sub": "ü"}, "bad-sub"),
        ({"sid": "a,b"}, "bad-sid"),
        ({"jti": "x" * 256}, "bad-jti"),
        ({"client_id": None}, "bad-client_id"),
        ({"roles": "admin"}, "bad-roles"),
        ({"roles": ["user,admin"]}, "bad-roles"),
        ({"roles": [["admin"]]}, "bad-roles"),
        ({"roles": {"admin": True}}, "bad-roles"),
    ],
)
def test_a_wrong_claim_is_refused(change: dict[str, Any], expected: str) -> None:
    assert reason(sign(claims={**CLAIMS, **change})) == expected


@pytest.mark.parametrize("claim", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999"])
def test_a_time_is_a_finite_number(claim: str, value: bytes) -> None:
    payload = json.dumps({**CLAIMS, claim: "HERE"}).encode().replace(b'"HERE"', value)
    assert reason(sign_raw(json.dumps(HEADER).encode(), payload)) in {"payload", f"bad-{claim}"}


@pytest.mark.parametrize("payload", [b"", b"null", b"[]", b'"x"', b"1", b"{", b'{"sub":"a","sub":"b"}'])
def test_the_payload_is_one_unambiguous_object(payload: bytes) -> None:
    assert reason(sign_raw(json.dumps(HEADER).encode(), payload)) == "payload"


def test_duplicate_claims_are_refused_even_where_they_agree() -> None:
    payload = json.dumps(CLAIMS).encode().replace(b'"sub": "u-1"', b'"sub": "u-1", "sub": "u-1"')
    assert reason(sign_raw(json.dumps(HEADER).encode(), payload)) == "payload"


def test_clocks_may_differ_by_the_leeway_and_no_more() -> None:
    token = sign()
    expires = CLAIMS["exp"]
    assert verify(token, now=expires + jwt.LEEWAY_SECONDS - 0.001).subject == "u-1"
    assert reason(token, now=expires + jwt.LEEWAY_SECONDS) == "expired"
    assert reason(token, now=expires, leeway=0) == "expired"
    assert verify(token, now=CLAIMS["iat"] - jwt.LEEWAY_SECONDS).subject == "u-1"
    assert reason(token, now=CLAIMS["iat"] - jwt.LEEWAY_SECONDS - 0.001) == "issued-in-the-future"


def test_no_refusal_shows_the_token() -> None:
    token = sign({**HEADER, "kid": "unknown"})
    with pytest.raises(TokenRefused) as refused:
        verify(token)
    assert token not in str(refused.value)
    assert refused.value.code == "invalid-token"


# Vectors that others have published


def checks(jwk: dict[str, Any], token: str) -> tuple[VerificationKey, bytes, bytes]:
    signed, _, signature = token.rpartition(".")
    key = parse_key({"kid": "vector", **jwk})
    return key, base64url.decode(signature), signed.encode()


RFC_7515_A3 = (
    {
        "kty": "EC",
        "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    },
    "eyJhbGciOiJFUzI1NiJ9"
    ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
    ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
)
RFC_8037_A4 = (
    {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
    "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
    ".hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
)


@pytest.mark.parametrize(("jwk", "token"), [RFC_7515_A3, RFC_8037_A4], ids=["RFC 7515 A.3", "RFC 8037 A.4"])
def test_published_vectors(jwk: dict[str, Any], token: str) -> None:
    key, signature, signed = checks(jwk, token)
    assert key.verifies(signature, signed)
    assert not key.verifies(signature, signed + b"x")
