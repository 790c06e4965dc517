"""Introspection (RFC 7662) and revocation (RFC 7009) on a real database and a real store."""

import json
import time
from typing import Any
from urllib.parse import urlencode

import jwt as pyjwt
import psycopg
import pytest

from shared.auth import jwt
from shared.auth.revocation_mirror import RevocationMirror
from shared.config import Secret
from shared.ids import new_id
from tests.engines import Engines
from tests.services.auth.conftest import NOBODY, TOKENS, Answer, AuthServer, auth_server
from tests.services.auth.resource_server import FORM, ResourceServer, basic
from tests.shared.auth.valkey import Valkey
from tests.waiting import eventually

ENDPOINTS = ("/auth/introspect", "/auth/revoke")


@pytest.fixture
async def warehouse(auth: AuthServer) -> ResourceServer:
    return await ResourceServer.register(auth)


async def logged_in(auth: AuthServer) -> Answer:
    await auth.sign_up()
    return await auth.log_in()


def refusal(answer: Answer) -> tuple[int, str]:
    """Status and OAuth's word for it; the problem document says the same in its own."""
    document = answer.document
    assert answer.headers.get("content-type") == "application/problem+json"
    assert answer.headers.get("cache-control") == "no-store"
    assert document["type"] == "urn:plainstack:problem:" + document["error"].replace("_", "-")
    assert document["error_description"] == document["detail"]
    return answer.status, document["error"]


# Who may ask


@pytest.mark.parametrize("target", ENDPOINTS)
async def test_credentials_in_the_body(auth: AuthServer, warehouse: ResourceServer, target: str) -> None:
    own = {
        "client_id": warehouse.credentials.client_id,
        "client_secret": warehouse.credentials.client_secret,
    }
    form = urlencode({"token": "x", **own}).encode()
    assert (await auth.call("POST", target, form, NOBODY, FORM)).status == 200


@pytest.mark.parametrize("target", ENDPOINTS)
async def test_wrong_and_unknown_look_the_same(
    auth: AuthServer, warehouse: ResourceServer, target: str
) -> None:
    known, secret = warehouse.credentials.client_id, warehouse.credentials.client_secret
    wrong = [(known, "wrong"), (known, ""), (str(new_id()), secret), ("", secret), ("%00", secret)]
    answers = [
        await auth.call("POST", target, b"token=x", NOBODY, FORM, basic(*credentials))
        for credentials in wrong
    ]
    for answer in answers:
        assert refusal(answer) == (401, "invalid_client")
        assert answer.headers.get("www-authenticate") == 'Basic realm="plainstack"'
        answer.document.pop("instance")
        assert answer.document == answers[0].document


@pytest.mark.parametrize("target", ENDPOINTS)
async def test_without_credentials(auth: AuthServer, target: str) -> None:
    answer = await auth.call("POST", target, b"token=x", NOBODY, FORM)
    assert refusal(answer) == (401, "invalid_client")
    assert answer.headers.get("www-authenticate") == 'Basic realm="plainstack"'


@pytest.mark.parametrize("target", ENDPOINTS)
async def test_credentials_twice(warehouse: ResourceServer, target: str) -> None:
    answer = await warehouse.post(target, "token=x&client_secret=y")
    assert refusal(answer) == (400, "invalid_request")


@pytest.mark.parametrize("target", ENDPOINTS)
@pytest.mark.parametrize("form", ["", "token=", "token_type_hint=access_token", "token=a&token=b", "token=%"])
async def test_without_one_token(warehouse: ResourceServer, target: str, form: str) -> None:
    assert refusal(await warehouse.post(target, form)) == (400, "invalid_request")


async def test_a_removed_client_is_refused_at_once(auth: AuthServer, warehouse: ResourceServer) -> None:
    token = (await logged_in(auth)).document["access_token"]
    assert await warehouse.is_active(token)
    await auth.services.clients.remove(warehouse.credentials.client_id)
    assert refusal(await warehouse.introspect(token)) == (401, "invalid_client")
    assert refusal(await warehouse.revoke(token)) == (401, "invalid_client")


async def test_the_secret_is_kept_as_a_digest_only(auth: AuthServer, warehouse: ResourceServer) -> None:
    assert len(warehouse.credentials.client_secret) >= 43  # 256 bits
    kept = str(await auth.query("SELECT * FROM clients")) + str(await auth.query("SELECT * FROM audit"))
    assert warehouse.credentials.client_id in kept
    assert warehouse.credentials.client_secret not in kept


async def test_clients_come_and_go_in_the_audit_table(auth: AuthServer, warehouse: ResourceServer) -> None:
    client_id = warehouse.credentials.client_id
    await auth.services.clients.remove(client_id)
    rows = await auth.query("SELECT event, details FROM audit WHERE event LIKE 'client-%' ORDER BY audit_id")
    assert rows == [
        ("client-added", {"client_id": client_id, "name": "Warehouse"}),
        ("client-removed", {"client_id": client_id}),
    ]


# Introspection


@pytest.mark.parametrize("token", ["\0", "a.b.c\0", "\0.\0.\0"])
async def test_a_token_with_a_nul_is_none_of_ours(warehouse: ResourceServer, token: str) -> None:
    assert not await warehouse.is_active(token)
    assert (await warehouse.revoke(token)).status == 200


async def test_an_access_token(auth: AuthServer, warehouse: ResourceServer) -> None:
    tokens = await logged_in(auth)
    claims = auth.claims(tokens)
    answer = await warehouse.introspect(tokens.document["access_token"])
    assert answer.headers.get("cache-control") == "no-store"
    assert answer.document == {
        "active": True,
        "token_type": "Bearer",
        "client_id": "plainstack",
        "username": "alice@example.com",
        "iss": TOKENS.issuer,
        "aud": TOKENS.audience,
        "sub": claims.subject,
        "sid": tokens.document["session_id"],
        "jti": claims.token_id,
        "iat": int(claims.issued_at),
        "nbf": int(claims.not_before),
        "exp": int(claims.expires),
        "roles": ["user"],
    }


async def test_a_refresh_token_is_active_until_it_is_used(
    auth: AuthServer, warehouse: ResourceServer
) -> None:
    tokens = await logged_in(auth)
    old = tokens.document["refresh_token"]
    document = (await warehouse.introspect(old)).document
    assert (document["active"], document["token_type"]) == (True, "refresh_token")
    assert document["aud"] == TOKENS.refresh_audience
    assert "roles" not in document
    new = (await auth.refresh(old)).document["refresh_token"]
    assert not await warehouse.is_active(old)
    assert await warehouse.is_active(new)
    await auth.log_out(auth.claims(tokens).principal)
    assert not await warehouse.is_active(new)


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "unheard-of", ""])
async def test_the_hint_changes_nothing(auth: AuthServer, warehouse: ResourceServer, hint: str) -> None:
    tokens = (await logged_in(auth)).document
    for token in (tokens["access_token"], tokens["refresh_token"]):
        assert (await warehouse.introspect(token, token_type_hint=hint)).document["active"]


async def test_a_logout_ends_both(auth: AuthServer, warehouse: ResourceServer) -> None:
    tokens = await logged_in(auth)
    await auth.log_out(auth.claims(tokens).principal)
    assert not await warehouse.is_active(tokens.document["access_token"])
    assert not await warehouse.is_active(tokens.document["refresh_token"])


@pytest.mark.parametrize("kind", ["sid", "jti", "user", "kid"])
async def test_the_database_is_asked_not_the_store(
    auth: AuthServer, warehouse: ResourceServer, kind: str
) -> None:
    """A revocation that no gateway has heard of yet."""
    tokens = await logged_in(auth)
    claims = auth.claims(tokens)
    names = {"sid": claims.session_id, "jti": claims.token_id, "user": claims.subject, "kid": claims.key_id}
    await auth.execute(
        "INSERT INTO revocations (kind, name, revoked_at, expires_at)"
        f" VALUES ('{kind}', '{names[kind]}', clock_timestamp(), now() + interval '1 h')"
    )
    assert not await warehouse.is_active(tokens.document["access_token"])
    refresh_lives = {"sid": False, "kid": False, "jti": True, "user": True}[kind]
    assert await warehouse.is_active(tokens.document["refresh_token"]) == refresh_lives


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE sessions SET ended_at = now(), end_reason = 'test'",
        "UPDATE sessions SET expires_at = now()",
        "UPDATE users SET locked_at = now()",
        "DELETE FROM sessions",
    ],
)
async def test_whatever_ends_the_session(auth: AuthServer, warehouse: ResourceServer, change: str) -> None:
    tokens = await logged_in(auth)
    await auth.execute(change)
    assert not await warehouse.is_active(tokens.document["access_token"])
    assert not await warehouse.is_active(tokens.document["refresh_token"])


async def test_new_roles_end_the_tokens_with_the_old_ones(
    auth: AuthServer, warehouse: ResourceServer
) -> None:
    tokens = await logged_in(auth)
    revoked = "SELECT 'user', user_id, clock_timestamp(), now() + interval '1 h' FROM users"
    await auth.execute(f"INSERT INTO revocations (kind, name, revoked_at, expires_at) {revoked}")
    assert not await warehouse.is_active(tokens.document["access_token"])
    renewed = await auth.refresh(tokens.document["refresh_token"])
    assert await warehouse.is_active(renewed.document["access_token"])


def signed(auth: AuthServer, token: str, header: dict[str, Any], **claims: Any) -> str:
    """`token` with another header and other claims, signed with the real key."""
    key = auth.services.key_ring.signing
    payload = {**pyjwt.decode(token, options={"verify_signature": False}), **claims}
    return pyjwt.encode(
        payload, key.private, algorithm=key.algorithm, headers={"kid": key.key_id, "typ": "at+jwt", **header}
    )


async def test_tokens_that_are_signed_but_wrong(auth: AuthServer, warehouse: ResourceServer) -> None:
    token = (await logged_in(auth)).document["access_token"]
    now = int(time.time())
    assert await warehouse.is_active(signed(auth, token, {}))
    assert await warehouse.is_active(signed(auth, token, {}, exp=2**53))
    for wrong in (
        signed(auth, token, {"typ": "JWT"}),
        signed(auth, token, {"typ": "refresh+jwt"}),
        signed(auth, token, {"kid": "another"}),
        signed(auth, token, {"crit": ["exp"]}),
        signed(auth, token, {}, iss="https://elsewhere.example"),
        signed(auth, token, {}, aud="https://elsewhere.example"),
        signed(auth, token, {}, aud=TOKENS.refresh_audience),
        signed(auth, token, {}, exp=now - 1),  # within the leeway, but our own clock has no doubt
        signed(auth, token, {}, nbf=now + 60),
        signed(auth, token, {}, nbf=2**53),
        signed(auth, token, {}, sub=str(new_id())),
        signed(auth, token, {}, sid=str(new_id())),
        signed(auth, token, {}, sid="none"),
        token[:-8] + "AAAAAAAA",
        "x" * 9_000,
        "a.b.c",
        "é",
    ):
        assert not await warehouse.is_active(wrong)
        assert (await warehouse.revoke(wrong)).status == 200


async def test_without_a_database_nothing_is_active(engines: Engines) -> None:
    url = engines.new_database()
    name = url.value.rpartition("/")[2]
    async with auth_server(url, engines.redis_url) as auth:
        warehouse, token = await ResourceServer.register(auth), (await logged_in(auth)).document
        with psycopg.connect(engines.superuser_url.value, autocommit=True) as superuser:
            superuser.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
            superuser.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
            )
        for ask in (warehouse.introspect, warehouse.revoke):
            answer = await ask(token["access_token"])
            assert answer.status == 503
            assert answer.headers.get("retry-after")
            assert "active" not in answer.document


# Revocation


async def test_an_access_token_ends_alone(auth: AuthServer, warehouse: ResourceServer) -> None:
    tokens = await logged_in(auth)
    renewed = await auth.refresh(tokens.document["refresh_token"])
    claims = auth.claims(tokens)
    answer = await warehouse.revoke(tokens.document["access_token"])
    assert (answer.status, answer.document) == (200, {})
    assert not await warehouse.is_active(tokens.document["access_token"])
    assert await warehouse.is_active(renewed.document["access_token"])
    assert await warehouse.is_active(renewed.document["refresh_token"])
    rows = await auth.query("SELECT kind, name, stored_at IS NOT NULL, expires_at FROM revocations")
    assert [row[:3] for row in rows] == [("jti", claims.token_id, True)]
    assert rows[0][3].timestamp() == claims.expires + jwt.LEEWAY_SECONDS + 60


async def test_a_refresh_token_ends_with_its_session(auth: AuthServer, warehouse: ResourceServer) -> None:
    tokens, other = await logged_in(auth), await auth.log_in()
    used = tokens.document["refresh_token"]
    renewed = await auth.refresh(used)
    assert (await warehouse.revoke(used)).status == 200  # of this session; that it is used up makes no odds
    assert (await auth.refresh(renewed.document["refresh_token"])).status == 401
    assert not await warehouse.is_active(renewed.document["access_token"])
    assert await warehouse.is_active(other.document["access_token"])
    rows = await auth.query("SELECT kind, name FROM revocations WHERE stored_at IS NOT NULL")
    assert rows == [("sid", tokens.document["session_id"])]


async def test_what_was_revoked_by_whom_is_written_down(auth: AuthServer, warehouse: ResourceServer) -> None:
    tokens = await logged_in(auth)
    claims = auth.claims(tokens)
    for token in (tokens.document["access_token"], tokens.document["refresh_token"]):
        for _ in range(2):
            assert (await warehouse.revoke(token)).status == 200
    rows = await auth.query(
        "SELECT actor, user_id::text, session_id::text, address, details FROM audit"
        " WHERE event = 'token-revoked' ORDER BY audit_id"
    )
    who = ("client", claims.subject, claims.session_id, NOBODY.client_address)
    assert {row[:4] for row in rows} == {who}
    kinds = [row[4]["kind"] for row in rows]
    assert kinds == ["access_token", "refresh_token"]
    assert {row[4]["client_id"] for row in rows} == {warehouse.credentials.client_id}
    assert tokens.document["access_token"] not in json.dumps([row[4] for row in rows])


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "unheard-of"])
async def test_a_wrong_hint_is_ignored(auth: AuthServer, warehouse: ResourceServer, hint: str) -> None:
    for kind in ("access_token", "refresh_token"):
        token = (await logged_in(auth)).document[kind]
        assert (await warehouse.revoke(token, token_type_hint=hint)).status == 200
        assert not await warehouse.is_active(token)


async def test_a_gateway_refuses_the_token_and_no_other(
    engines: Engines, auth: AuthServer, warehouse: ResourceServer
) -> None:
    tokens = await logged_in(auth)
    ended, other = auth.claims(tokens), auth.claims(await auth.refresh(tokens.document["refresh_token"]))
    await auth.revocations.spread()
    async with RevocationMirror(engines.redis_url) as gateway:
        await eventually(gateway.is_fresh)
        assert (await warehouse.revoke(tokens.document["access_token"])).status == 200
        await eventually(lambda: gateway.refuses(ended))
        assert not gateway.refuses(other)


async def test_without_an_acknowledgement_nothing_is_promised(database_url: Secret, valkey: Valkey) -> None:
    async with auth_server(database_url, valkey.url) as auth:
        warehouse = await ResourceServer.register(auth)
        tokens = (await logged_in(auth)).document
        valkey.kill()
        for token in (tokens["access_token"], tokens["refresh_token"]):
            answer = await warehouse.revoke(token)
            assert answer.status == 503
            assert answer.headers.get("retry-after")
            assert not await warehouse.is_active(token)  # the database has it already
        valkey.start()
        for token in (tokens["access_token"], tokens["refresh_token"]):
            assert (await warehouse.revoke(token)).status == 200
        assert await auth.query("SELECT count(*) FROM revocations WHERE stored_at IS NULL") == [(0,)]


# Metadata (RFC 8414)


async def test_metadata_names_the_endpoints(auth: AuthServer) -> None:
    answer = await auth.call("GET", "/.well-known/oauth-authorization-server")
    assert "max-age" in str(answer.headers.get("cache-control"))
    methods = ["client_secret_basic", "client_secret_post"]
    assert answer.document == {
        "issuer": TOKENS.issuer,
        "jwks_uri": f"{TOKENS.issuer}/.well-known/jwks.json",
        "introspection_endpoint": f"{TOKENS.issuer}/auth/introspect",
        "introspection_endpoint_auth_methods_supported": methods,
        "revocation_endpoint": f"{TOKENS.issuer}/auth/revoke",
        "revocation_endpoint_auth_methods_supported": methods,
        "response_types_supported": [],
        "grant_types_supported": [],
    }
