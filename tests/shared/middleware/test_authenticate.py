"""With real tokens, a real key cache and a real revocation mirror on a real Valkey."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jwt as pyjwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from prometheus_client import REGISTRY

from shared.auth.jwks import JWKSCache
from shared.auth.revocation_list import Kind, Revocation
from shared.auth.revocation_mirror import RevocationMirror
from shared.auth.revocation_store import RevocationStore
from shared.auth.settings import TokenSettings
from shared.context import ANONYMOUS, Principal
from shared.errors import Unavailable
from shared.http.messages import Fields, Headers, Request, Response
from shared.http.problems import HTTPError
from shared.middleware.authenticate import AccessTokens, anonymous, authenticate
from tests.shared.auth.valkey import Valkey
from tests.waiting import eventually

SETTINGS = TokenSettings("https://shop.example", "https://api.example", ("ES256",))
KEY = ec.generate_private_key(ec.SECP256R1())
FORGER = ec.generate_private_key(ec.SECP256R1())
STALE_SECONDS = 3.0


class Issuer:
    """Signs tokens and publishes keys."""

    def __init__(self) -> None:
        self.published = {"k1": KEY}
        self.answers = True
        self.fetches = 0

    async def fetch(self) -> bytes:
        self.fetches += 1
        if not self.answers:
            raise Unavailable("away")
        keys = [
            {**json.loads(ECAlgorithm.to_jwk(k.public_key())), "kid": kid}
            for kid, k in self.published.items()
        ]
        return json.dumps({"keys": keys}).encode()

    def token(self, key: ec.EllipticCurvePrivateKey = KEY, kid: str = "k1", **changed: Any) -> str:
        now = time.time()
        claims = {
            "iss": SETTINGS.issuer,
            "aud": SETTINGS.audience,
            "sub": "u-1",
            "sid": "s-1",
            "jti": "t-1",
            "client_id": "web",
            "iat": now,
            "nbf": now,
            "exp": now + 600,
            "roles": ["customer"],
            **changed,
        }
        return pyjwt.encode(claims, key, "ES256", {"kid": kid, "typ": "at+jwt"})


class World:
    """A gateway's view: what the middleware stands on, and a clock that can be turned."""

    def __init__(
        self, issuer: Issuer, keys: JWKSCache, mirror: RevocationMirror, store: RevocationStore
    ) -> None:
        self.issuer = issuer
        self.keys = keys
        self.mirror = mirror
        self.store = store
        self.ahead = 0.0
        self.tokens = AccessTokens(SETTINGS, keys, mirror, capacity=3, clock=lambda: time.time() + self.ahead)

    async def ask(
        self, *fields: tuple[str, str], demand: Any = "required", address: str = "203.0.113.9"
    ) -> Principal:
        request = Request("GET", "/", Headers(list(fields)))
        request.client_address = address

        async def handler(_: Request) -> Response:
            return Response(200)

        await authenticate(self.tokens, demand)(handler)(request)
        return request.principal

    async def ask_with(self, token: str, demand: Any = "required") -> Principal:
        return await self.ask(("Authorization", f"Bearer {token}"), demand=demand)

    async def refusal(self, *fields: tuple[str, str], demand: Any = "required") -> tuple[int, str, str]:
        with pytest.raises(HTTPError) as refused:
            await self.ask(*fields, demand=demand)
        ((name, challenge),) = refused.value.headers
        assert name == "WWW-Authenticate"
        return refused.value.status, challenge, refused.value.detail

    async def revoke(self, kind: Kind, name: str, at_ms: int | None = None) -> None:
        now_ms = int(time.time() * 1000)
        await self.store.write([Revocation(kind, name, now_ms if at_ms is None else at_ms, now_ms + 600_000)])


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    server = Valkey(tmp_path_factory.mktemp("valkey"), durable=False)
    server.start()
    yield server
    server.close()


@pytest.fixture
async def world(valkey: Valkey) -> AsyncIterator[World]:
    valkey.client.flushall()
    async with world_on(valkey) as made:
        await eventually(lambda: made.mirror.is_fresh() and made.keys.is_loaded)
        yield made


@asynccontextmanager
async def world_on(valkey: Valkey, issuer: Issuer | None = None) -> AsyncIterator[World]:
    issuer = issuer or Issuer()
    keys = JWKSCache(issuer.fetch, spacing=0.01, cool_down=0.05)
    mirror = RevocationMirror(valkey.url, stale_seconds=STALE_SECONDS)
    async with RevocationStore(valkey.url) as store:
        await store.restore(nothing)
        async with keys, mirror:
            yield World(issuer, keys, mirror, store)


async def nothing() -> list[Revocation]:
    return []


async def eventually_refused(world: World, token: str) -> str:
    """The challenge, once the mirror has heard."""
    async with asyncio.timeout(10):
        while True:
            try:
                await world.ask_with(token)
            except HTTPError as refused:
                return refused.headers[0][1]
            await asyncio.sleep(0.005)


async def test_a_good_token_tells_who_asks(world: World) -> None:
    principal = await world.ask_with(world.issuer.token())
    assert (principal.user_id, principal.session_id, principal.token_id) == ("u-1", "s-1", "t-1")
    assert principal.roles == {"customer"}
    assert principal.client_address == "203.0.113.9"


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER  ", "Bearer  "])
async def test_the_scheme_is_read_in_any_case(world: World, scheme: str) -> None:
    assert not (await world.ask(("Authorization", scheme + world.issuer.token()))).is_anonymous


def verified_tokens() -> float:
    return REGISTRY.get_sample_value("auth_tokens_verified_total") or 0


async def test_a_token_is_verified_once(world: World) -> None:
    before = verified_tokens()
    tokens = [world.issuer.token(jti=f"t-{number}") for number in range(4)]
    for token in [*tokens[:3], *tokens[:3]]:
        await world.ask_with(token)
    assert verified_tokens() - before == 3
    await world.ask_with(tokens[3])  # pushes out the one that was used least recently
    await world.ask_with(tokens[1])
    assert verified_tokens() - before == 4
    await world.ask_with(tokens[0])
    assert verified_tokens() - before == 5


async def test_the_principal_has_the_address_of_this_request(world: World) -> None:
    token = ("Authorization", f"Bearer {world.issuer.token()}")
    for address in ("203.0.113.9", "198.51.100.1", "203.0.113.9"):
        assert (await world.ask(token, address=address)).client_address == address


async def test_without_a_token(world: World) -> None:
    assert await world.refusal() == (401, 'Bearer realm="plainstack"', "This needs an access token.")
    assert (await world.ask(demand="optional")) == Principal(client_address="203.0.113.9")


@pytest.mark.parametrize("demand", ["optional", "required"])
@pytest.mark.parametrize("credentials", ["", "Basic dXNlcjpwYXNz", "Bearer", "Bearer ", "token"])
async def test_what_is_no_bearer_token(world: World, credentials: str, demand: str) -> None:
    status, challenge, _ = await world.refusal(("Authorization", credentials), demand=demand)
    assert status == 401
    assert challenge.startswith('Bearer realm="plainstack"')


@pytest.mark.parametrize("demand", ["optional", "required"])
async def test_several_credentials_are_refused(world: World, demand: str) -> None:
    fields: Fields = [("Authorization", f"Bearer {world.issuer.token()}")] * 2
    status, challenge, _ = await world.refusal(*fields, demand=demand)
    assert (status, 'error="invalid_request"' in challenge) == (400, True)


@pytest.mark.parametrize("demand", ["optional", "required"])
@pytest.mark.parametrize(
    "make",
    [
        lambda issuer: issuer.token(FORGER),
        lambda issuer: issuer.token(FORGER, "unknown"),
        lambda issuer: issuer.token(iss="https://evil.example"),
        lambda issuer: issuer.token(aud="https://other.example"),
        lambda issuer: issuer.token(FORGER, exp=1),
        lambda _: "x.y.z",
        lambda _: "\xe9" * 20,
    ],
)
async def test_a_bad_token_learns_nothing(world: World, make: Callable[[Issuer], str], demand: str) -> None:
    fields = ("Authorization", f"Bearer {make(world.issuer)}")
    status, challenge, detail = await world.refusal(fields, demand=demand)
    assert (status, detail) == (401, "The access token is not valid.")
    assert challenge == (
        'Bearer realm="plainstack", error="invalid_token", error_description="The access token is not valid."'
    )


async def test_a_forged_token_does_not_learn_what_is_revoked(world: World) -> None:
    await world.revoke(Kind.SESSION, "s-1")
    assert "revoked" in await eventually_refused(world, world.issuer.token())
    _, _, detail = await world.refusal(("Authorization", f"Bearer {world.issuer.token(FORGER)}"))
    assert detail == "The access token is not valid."


async def test_a_remembered_token_expires(world: World) -> None:
    token = world.issuer.token()
    await world.ask_with(token)
    world.ahead = 604
    await world.ask_with(token)  # within the leeway for clocks
    world.ahead = 606
    status, challenge, _ = await world.refusal(("Authorization", f"Bearer {token}"))
    assert (status, "expired" in challenge) == (401, True)


@pytest.mark.parametrize(
    ("kind", "name"), [(Kind.SESSION, "s-1"), (Kind.TOKEN, "t-1"), (Kind.USER, "u-1"), (Kind.KEY, "k1")]
)
async def test_a_remembered_token_is_refused_once_revoked(world: World, kind: Kind, name: str) -> None:
    token = world.issuer.token()
    await world.ask_with(token)
    await world.revoke(kind, name, int(time.time() * 1000) + 1)
    assert "revoked" in await eventually_refused(world, token)
    assert "revoked" in (await world.refusal(("Authorization", f"Bearer {token}")))[1]


@pytest.mark.parametrize("is_remembered", [True, False])
async def test_nothing_is_fetched_for_a_revoked_key(world: World, is_remembered: bool) -> None:
    token = world.issuer.token()
    if is_remembered:
        await world.ask_with(token)
    await world.revoke(Kind.KEY, "k1")
    await eventually(lambda: world.mirror.refuses_key("k1"))
    world.issuer.published = {"k2": KEY}
    await world.ask_with(world.issuer.token(kid="k2", sid="s-2"))
    assert "k1" not in world.keys.keys
    fetches = world.issuer.fetches
    assert "revoked" in (await world.refusal(("Authorization", f"Bearer {token}")))[1]
    assert world.issuer.fetches == fetches


async def test_another_session_goes_on(world: World) -> None:
    await world.revoke(Kind.SESSION, "s-1")
    await eventually_refused(world, world.issuer.token())
    await world.ask_with(world.issuer.token(sid="s-2", jti="t-2"))


async def test_a_key_that_is_no_longer_published_is_no_longer_trusted(world: World) -> None:
    token = world.issuer.token()
    await world.ask_with(token)
    world.issuer.published = {"k2": FORGER}
    world.keys.refresh_soon()
    assert "not valid" in await eventually_refused(world, token)


async def test_a_new_key_is_fetched_when_it_is_met(world: World) -> None:
    world.issuer.published["k2"] = FORGER
    assert not (await world.ask_with(world.issuer.token(FORGER, "k2"))).is_anonymous


async def test_while_the_store_is_away_nobody_with_a_token_is_let_in(tmp_path: Path) -> None:
    valkey = Valkey(tmp_path, durable=False)
    valkey.start()
    try:
        async with world_on(valkey) as world:
            await eventually(lambda: world.mirror.is_fresh() and world.keys.is_loaded)
            token = world.issuer.token()
            await world.ask_with(token)
            valkey.kill()
            await eventually(lambda: not world.mirror.is_fresh())
            for demand in ("optional", "required"):
                with pytest.raises(Unavailable) as refused:
                    await world.ask_with(token, demand)
                assert refused.value.retry_after
            with pytest.raises(Unavailable):
                await world.ask()
            assert (await world.ask(demand="optional")).is_anonymous
            valkey.start()
            with pytest.raises(Unavailable):  # it answers, but nobody has said that it knows everything
                await world.ask_with(token)
            await world.store.restore(nothing)
            await eventually(world.mirror.is_fresh)
            await world.ask_with(token)
    finally:
        valkey.close()


async def test_without_any_key_a_token_cannot_be_judged(valkey: Valkey) -> None:
    issuer = Issuer()
    issuer.answers = False
    async with world_on(valkey, issuer) as world:
        await eventually(world.mirror.is_fresh)
        with pytest.raises(Unavailable):
            await world.ask_with(issuer.token())


async def test_anonymous_reads_no_token() -> None:
    request = Request("GET", "/", Headers([("Authorization", "Bearer x"), ("Authorization", "Basic y")]))
    request.client_address = "203.0.113.9"

    async def handler(_: Request) -> Response:
        return Response(200)

    assert (await anonymous()(handler)(request)).status == 200
    assert request.principal.is_anonymous
    assert request.principal != ANONYMOUS
    assert request.principal.client_address == "203.0.113.9"
