"""Logging in, as a client sees it."""

import json
import time

from shared import base64url
from shared.auth import jwt
from shared.auth.jwk import ALGORITHMS
from shared.auth.strict_json import parse_object
from tests.services.auth.conftest import AuthServer, problem


async def test_logging_in_answers_with_tokens(auth: AuthServer) -> None:
    user_id = (await auth.sign_up()).document["user_id"]
    answer = await auth.log_in("ALICE@example.com")
    assert answer.status == 200
    assert answer.headers.get("cache-control") == "no-store"
    assert answer.document["token_type"] == "Bearer"
    assert answer.document["expires_in"] == 600
    claims = auth.claims(answer)
    assert claims.subject == user_id
    assert claims.session_id == answer.document["session_id"]
    assert claims.roles == {"user"}
    assert claims.expires == int(claims.issued_at) + 600


async def test_the_access_token_says_what_rfc_9068_wants(auth: AuthServer) -> None:
    await auth.sign_up()
    before = time.time()
    token = (await auth.log_in()).document["access_token"]
    header = parse_object(base64url.decode(token.split(".")[0]))
    assert header == {"alg": "ES256", "kid": header["kid"], "typ": "at+jwt"}
    claims = json.loads(jwt.verify_signature(token, auth.services.key_ring.published, ALGORITHMS))
    assert set(claims) == {"iss", "aud", "sub", "client_id", "exp", "iat", "nbf", "jti", "sid", "roles"}
    assert before - 0.001 <= claims["iat"] <= time.time()
    assert round(claims["iat"], 3) == claims["iat"]


async def test_wrong_password_and_unknown_account_look_the_same(auth: AuthServer) -> None:
    await auth.sign_up()
    answers = [await auth.log_in(password="wrong password"), await auth.log_in("nobody@example.com")]
    answers.append(await auth.log_in("not an address"))
    for answer in answers:
        assert (answer.status, problem(answer)) == (401, "invalid-credentials")
        assert answer.headers.get("www-authenticate") == 'Bearer realm="plainstack"'
        answer.document.pop("instance")
    assert answers[0].document == answers[1].document == answers[2].document


async def test_a_locked_account_cannot_log_in_or_go_on(auth: AuthServer) -> None:
    await auth.sign_up()
    tokens = await auth.log_in()
    await auth.execute("UPDATE users SET locked_at = now()")
    assert (await auth.log_in()).status == 401
    assert (await auth.refresh(tokens.document["refresh_token"])).status == 401


async def test_the_session_knows_where_it_comes_from(auth: AuthServer) -> None:
    await auth.sign_up()
    await auth.log_in()
    assert await auth.query("SELECT device, address FROM sessions") == [("test/1", "203.0.113.7")]
