"""Every row of the auth server's table, through its whole chain of middleware."""

import json
import time
from datetime import timedelta

import pytest

from services.auth.service.accounts import NewAccount
from shared import base64url
from shared.auth import jwt
from shared.auth.jwk import ALGORITHMS, KeySet
from shared.auth.strict_json import parse_object
from shared.context import Principal
from shared.http.messages import Headers, Request
from shared.ids import new_id
from tests.engines import Engines
from tests.services.auth.conftest import PASSWORD, TOKENS, Answer, AuthServer, auth_server


def problem(answer: Answer) -> str:
    assert answer.headers.get("content-type") == "application/problem+json"
    assert answer.headers.get("x-request-id")
    return str(answer.document["type"]).rpartition(":")[2]


# Signing up


async def test_signing_up_answers_with_the_account(auth: AuthServer) -> None:
    answer = await auth.sign_up("Alice@Example.com")
    assert answer.status == 201
    assert answer.document.pop("user_id")
    assert answer.document == {"email": "Alice@Example.com", "display_name": "Alice", "roles": ["user"]}


async def test_an_address_is_taken_in_every_spelling(auth: AuthServer) -> None:
    await auth.sign_up("alice@example.com")
    answer = await auth.sign_up("ALICE@example.COM")
    assert (answer.status, problem(answer)) == (409, "email-taken")


async def test_every_bad_field_is_named(auth: AuthServer) -> None:
    body = {"email": "no", "password": "short", "display_name": "", "roles": ["admin"]}
    answer = await auth.call("POST", "/auth/signup", body)
    assert answer.status == 422
    assert {each["field"] for each in answer.document["errors"]} == set(body)


async def test_the_password_is_nowhere_in_the_clear(auth: AuthServer) -> None:
    await auth.sign_up()
    assert PASSWORD not in str(await auth.query("SELECT * FROM users"))


# Logging in


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
    token = (await auth.log_in()).document["access_token"]
    header = parse_object(base64url.decode(token.split(".")[0]))
    assert header == {"alg": "ES256", "kid": header["kid"], "typ": "at+jwt"}
    claims = json.loads(jwt.verify_signature(token, auth.parts.keys.published, ALGORITHMS))
    assert set(claims) == {"iss", "aud", "sub", "client_id", "exp", "iat", "nbf", "jti", "sid", "roles"}
    assert abs(claims["iat"] - time.time()) < 5
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


# Refreshing


async def test_every_refresh_gives_a_new_pair_of_the_same_session(auth: AuthServer) -> None:
    await auth.sign_up()
    answer = first = await auth.log_in()
    for _ in range(3):
        before, answer = answer, await auth.refresh(answer.document["refresh_token"])
        assert answer.status == 200
        assert answer.headers.get("cache-control") == "no-store"
        assert answer.document["session_id"] == first.document["session_id"]
        assert answer.document["refresh_token"] != before.document["refresh_token"]
        assert auth.claims(answer).token_id != auth.claims(before).token_id


async def test_a_lost_answer_is_given_again(auth: AuthServer) -> None:
    await auth.sign_up()
    lost = (await auth.log_in()).document["refresh_token"]
    first, again = await auth.refresh(lost), await auth.refresh(lost)
    assert again.status == 200
    assert again.document["refresh_token"] == first.document["refresh_token"]
    assert (await auth.refresh(again.document["refresh_token"])).status == 200


async def test_the_successor_is_kept_only_sealed(auth: AuthServer) -> None:
    await auth.sign_up()
    presented = (await auth.log_in()).document["refresh_token"]
    successor = (await auth.refresh(presented)).document["refresh_token"]
    kept = str(await auth.query("SELECT * FROM refresh_tokens"))
    assert presented.rpartition(".")[2] not in kept
    assert successor.rpartition(".")[2] not in kept


async def test_reuse_after_the_successor_was_used_ends_the_session(auth: AuthServer) -> None:
    await auth.sign_up()
    stolen = await auth.log_in()
    second = await auth.refresh(stolen.document["refresh_token"])
    third = await auth.refresh(second.document["refresh_token"])
    answer = await auth.refresh(stolen.document["refresh_token"])
    assert (answer.status, problem(answer)) == (401, "invalid-token")
    assert "invalid_token" in str(answer.headers.get("www-authenticate"))
    assert (await auth.refresh(third.document["refresh_token"])).status == 401
    assert await auth.query("SELECT end_reason FROM sessions") == [("refresh token used twice",)]
    assert await auth.query("SELECT kind, name FROM revocations WHERE stored_at IS NOT NULL") == [
        ("sid", stolen.document["session_id"])
    ]


async def test_reuse_after_the_grace_ends_the_session(auth: AuthServer) -> None:
    await auth.sign_up()
    old = (await auth.log_in()).document["refresh_token"]
    await auth.refresh(old)
    await auth.execute("UPDATE refresh_tokens SET used_at = used_at - interval '11 seconds'")
    assert (await auth.refresh(old)).status == 401
    assert await auth.query("SELECT count(*) FROM sessions WHERE ended_at IS NULL") == [(0,)]


async def test_an_idle_session_expires_and_a_used_one_ends_some_day(engines: Engines) -> None:
    lifetimes = {"SESSION_IDLE_SECONDS": "10", "SESSION_SECONDS": "15"}
    async with auth_server(engines.new_database(), engines.redis_url, **lifetimes) as auth:
        await auth.sign_up()
        tokens = await auth.log_in()
        assert tokens.document["expires_in"] == 15  # no longer than the session
        await auth.execute("UPDATE sessions SET expires_at = now()")
        assert (await auth.refresh(tokens.document["refresh_token"])).status == 401
        await auth.execute(
            "UPDATE sessions SET expires_at = now() + interval '1 s', ends_by = now() + interval '2 s'"
        )
        assert (await auth.refresh(tokens.document["refresh_token"])).status == 200
        assert await auth.query("SELECT expires_at = ends_by FROM sessions") == [(True,)]


@pytest.mark.parametrize("rubbish", ["", "x", "a.b.c", "é", "x" * 9000])
async def test_rubbish_never_reaches_the_database(auth: AuthServer, rubbish: str) -> None:
    answer = await auth.refresh(rubbish)
    assert (answer.status, problem(answer)) == (401, "invalid-token")


async def test_the_two_kinds_of_token_are_not_interchangeable(auth: AuthServer) -> None:
    await auth.sign_up()
    tokens = (await auth.log_in()).document
    assert (await auth.refresh(tokens["access_token"])).status == 401
    with pytest.raises(jwt.TokenRefused):
        jwt.verify(
            tokens["refresh_token"],
            auth.parts.keys.published,
            now=time.time(),
            issuer=TOKENS.issuer,
            audience=TOKENS.audience,
            algorithms=ALGORITHMS,
        )


# Logging out


async def test_logging_out_ends_the_session(auth: AuthServer) -> None:
    await auth.sign_up()
    tokens = await auth.log_in()
    answer = await auth.log_out(auth.claims(tokens).principal)
    assert answer.status == 204
    assert (await auth.refresh(tokens.document["refresh_token"])).status == 401
    rows = await auth.query(
        "SELECT kind, name, stored_at IS NOT NULL, expires_at - revoked_at FROM revocations"
    )
    assert rows == [("sid", tokens.document["session_id"], True, timedelta(seconds=665))]


async def test_logging_out_twice_is_logging_out_once(auth: AuthServer) -> None:
    await auth.sign_up()
    principal = auth.claims(await auth.log_in()).principal
    assert (await auth.log_out(principal)).status == 204
    assert (await auth.log_out(principal)).status == 204
    assert await auth.query("SELECT count(*) FROM revocations") == [(1,)]


@pytest.mark.parametrize(("scope", "alive"), [("local", [1, 2]), ("others", [0]), ("global", [])])
async def test_the_scope_of_a_logout(auth: AuthServer, scope: str, alive: list[int]) -> None:
    await auth.sign_up()
    await auth.sign_up("bob@example.com")
    bob = await auth.log_in("bob@example.com")
    logins = [await auth.log_in() for _ in range(3)]
    assert (await auth.log_out(auth.claims(logins[0]).principal, scope)).status == 204
    statuses = [(await auth.refresh(each.document["refresh_token"])).status for each in logins]
    assert [number for number, status in enumerate(statuses) if status == 200] == alive
    assert (await auth.refresh(bob.document["refresh_token"])).status == 200


async def test_an_unknown_scope_is_named(auth: AuthServer) -> None:
    await auth.sign_up()
    answer = await auth.log_out(auth.claims(await auth.log_in()).principal, "galactic")
    assert answer.status == 422
    assert answer.document["errors"][0]["field"] == "scope"


async def test_nobody_ends_the_session_of_somebody_else(auth: AuthServer) -> None:
    await auth.sign_up()
    await auth.sign_up("eve@example.com")
    alice, eve = auth.claims(await auth.log_in()), auth.claims(await auth.log_in("eve@example.com"))
    mixed = Principal(user_id=eve.subject, session_id=alice.session_id)
    await auth.log_out(mixed)
    assert await auth.query("SELECT count(*) FROM sessions WHERE ended_at IS NULL") == [(2,)]


# Who asks


async def test_me(auth: AuthServer) -> None:
    account = (await auth.sign_up()).document
    principal = auth.claims(await auth.log_in()).principal
    answer = await auth.call("GET", "/auth/me", principal=principal)
    assert (answer.status, answer.document) == (200, account)


@pytest.mark.parametrize(("method", "target"), [("GET", "/auth/me"), ("POST", "/auth/logout")])
async def test_nobody_is_nobody(auth: AuthServer, method: str, target: str) -> None:
    answer = await auth.call(method, target)
    assert (answer.status, answer.headers.get("www-authenticate")) == (401, 'Bearer realm="plainstack"')
    gone = Principal(user_id=str(new_id()), session_id=str(new_id()))
    assert (await auth.call("GET", "/auth/me", principal=gone)).status == 401


async def test_without_the_gateways_signature_nothing_is_answered(auth: AuthServer) -> None:
    forged = Headers([("X-Authenticated-User-ID", str(new_id())), ("X-Authenticated-Roles", "admin")])
    for target in ("/auth/me", "/.well-known/jwks.json", "/auth/nowhere"):
        response = await auth.handler(Request("GET", target, forged))
        assert response.status == 401


# What anybody may know


async def test_the_published_keys_verify_and_hold_nothing_private(auth: AuthServer) -> None:
    answer = await auth.call("GET", "/.well-known/jwks.json")
    assert answer.status == 200
    assert "max-age" in str(answer.headers.get("cache-control"))
    (key,) = answer.document["keys"]
    assert set(key) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    await auth.sign_up()
    token = (await auth.log_in()).document["access_token"]
    jwt.verify_signature(token, KeySet.from_json(json.dumps(answer.document).encode()), ["ES256"])


async def test_metadata(auth: AuthServer) -> None:
    answer = await auth.call("GET", "/.well-known/oauth-authorization-server")
    assert answer.document["issuer"] == TOKENS.issuer
    assert answer.document["jwks_uri"] == f"{TOKENS.issuer}/.well-known/jwks.json"


# Admins


async def test_an_admin_is_created_once(auth: AuthServer) -> None:
    admin = NewAccount("root@example.com", PASSWORD, "Root")
    assert await auth.parts.accounts.ensure_admin(admin)
    assert not await auth.parts.accounts.ensure_admin(admin)
    assert auth.claims(await auth.log_in("root@example.com")).roles == {"admin", "user"}


async def test_a_granted_role_ends_the_tokens_without_it(auth: AuthServer) -> None:
    await auth.sign_up()
    tokens = await auth.log_in()
    await auth.parts.administration.add_role("Alice@example.com", "support")
    rows = await auth.query("SELECT kind, name, stored_at IS NOT NULL, revoked_at FROM revocations")
    before = auth.claims(tokens)
    assert rows[0][:3] == ("user", before.subject, True)
    assert before.issued_at <= rows[0][3].timestamp()
    after = auth.claims(await auth.refresh(tokens.document["refresh_token"]))
    assert after.roles == {"user", "support"}
    assert after.issued_at > rows[0][3].timestamp() - 0.001
