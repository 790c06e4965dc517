"""Signing keys are changed by several at once, while tokens are being signed: none is lost, none is wrong.

Two operators type at the same moment; auth servers notice that a key is missing; one of them is set to
another algorithm, because a change of it is being rolled out. Whatever comes first: there is always a key
that may sign, a key that was revoked signs nothing any more, and nobody makes keys for ever.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from functools import partial
from itertools import cycle

import pytest

from services.auth.domain.keys import KeyState, StoredKey
from services.auth.service.keys import KeyService
from shared.auth.jwt import key_id_of
from shared.config import Secret
from shared.errors import Conflict
from tests.engines import Engines
from tests.services.auth.conftest import AuthServer, auth_server
from tests.waiting import eventually

pytestmark = pytest.mark.races

ROUNDS = 5


@pytest.fixture
async def servers(engines: Engines, database_url: Secret) -> AsyncIterator[tuple[AuthServer, AuthServer]]:
    """Two auth servers on one database. Only what a test asks for is done by them."""
    async with (
        auth_server(database_url, engines.redis_url) as one,
        auth_server(database_url, engines.redis_url) as other,
    ):
        yield one, other


async def unrevoked(keys: KeyService) -> Sequence[StoredKey]:
    return [key for key in (await keys.keys()).keys if key.revoked_at is None]


async def signs_for_ever(keys: KeyService) -> bool:
    """Now, and at every moment at which some key stops, there is one that signs."""
    listed, living = await keys.keys(), await unrevoked(keys)
    moments = [listed.now, *(key.signs_until for key in living if key.signs_until is not None)]
    later = [moment for moment in moments if moment >= listed.now]
    return all(any(key.signs_at(moment) for key in living) for moment in later)


async def signing(auth: AuthServer) -> str:
    await auth.services.key_supply.ensure()
    return auth.services.key_ring.signing.key_id


# Operators and auth servers at the same keys


async def test_the_first_auth_servers_make_one_key(engines: Engines, database_url: Secret) -> None:
    async with AsyncExitStack() as stack:
        servers = await asyncio.gather(
            *(
                stack.enter_async_context(
                    auth_server(database_url, engines.redis_url, SIGNING_ALGORITHM=algorithm)
                )
                for algorithm in ("ES256", "ES256", "EdDSA", "EdDSA")
            )
        )
        keys = await unrevoked(servers[0].services.keys)
        assert sorted(key.algorithm for key in keys) == ["ES256", "EdDSA"]
        assert len({await signing(server) for server in servers}) == 1  # the second one is announced


@pytest.mark.parametrize("at_once", [True, False])
async def test_two_rotations_at_once_are_two_rotations(
    servers: tuple[AuthServer, AuthServer], at_once: bool
) -> None:
    """The later one retires the earlier one's key as well, so that one key is left in the end."""
    keys = servers[0].services.keys
    made = await asyncio.gather(*(server.services.keys.rotate(at_once=at_once) for server in servers * 2))
    assert len(await unrevoked(keys)) == 1 + len(made)
    (last,) = [key for key in await unrevoked(keys) if key.signs_until is None]
    assert last.signs_from == max(key.signs_from for key in made)
    assert await signs_for_ever(keys)


async def test_a_rotation_while_servers_of_two_algorithms_look_for_a_missing_key(
    engines: Engines, database_url: Secret
) -> None:
    """They do not make keys in turns: what one of them needs retires nothing of the other's."""
    async with (
        auth_server(database_url, engines.redis_url) as old,
        auth_server(database_url, engines.redis_url, SIGNING_ALGORITHM="EdDSA") as new,
    ):
        keys = new.services.keys
        for _ in range(ROUNDS):
            before = len(await unrevoked(keys))
            loads = (server.services.key_supply.ensure() for server in (old, new) * 3)
            await asyncio.gather(keys.rotate(at_once=True), *loads)
            for server in (old, new) * 3:
                await server.services.key_supply.ensure()
            assert len(await unrevoked(keys)) <= before + 2  # the rotation's, and one for the other algorithm
            assert await signs_for_ever(keys)


async def test_a_key_is_revoked_twice_at_once_and_replaced_once(
    servers: tuple[AuthServer, AuthServer],
) -> None:
    keys = servers[0].services.keys
    for _ in range(ROUNDS):
        revoked = await signing(servers[0])
        attempts = (server.services.keys.revoke(revoked) for server in servers)
        outcomes = await asyncio.gather(*attempts, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {KeyState, Conflict}
        assert len(await unrevoked(keys)) == 1
        assert await signing(servers[1]) != revoked


async def test_the_key_that_signs_and_the_one_that_follows_are_revoked_at_once(
    servers: tuple[AuthServer, AuthServer],
) -> None:
    """Each of them would be the other's successor."""
    one, other = (server.services.keys for server in servers)
    for _ in range(ROUNDS):
        now = await signing(servers[0])
        following = (await one.rotate()).key_id
        await asyncio.gather(one.revoke(now), other.revoke(following))
        assert not {now, following} & {key.key_id for key in await unrevoked(one)}
        assert await signs_for_ever(one)


async def test_a_revocation_and_a_rotation_at_once(servers: tuple[AuthServer, AuthServer]) -> None:
    one, other = (server.services.keys for server in servers)
    for turn in range(ROUNDS):
        now = await signing(servers[0])
        await asyncio.gather(one.revoke(now), other.rotate(at_once=turn % 2 == 0))
        assert now not in {key.key_id for key in await unrevoked(one)}
        assert await signs_for_ever(one)
        assert len([key for key in await unrevoked(one) if key.signs_until is None]) == 1


# Signing meanwhile


async def test_a_login_that_begins_after_a_revocation_is_not_signed_with_that_key(
    servers: tuple[AuthServer, AuthServer],
) -> None:
    """At no auth server, however recently it has read the keys."""
    await servers[0].sign_up()
    for _ in range(ROUNDS):
        revoked = await signing(servers[0])
        await asyncio.gather(
            *(server.log_in() for server in servers * 3), servers[0].services.keys.revoke(revoked)
        )
        for server in servers:
            tokens = await server.log_in()
            assert key_id_of(tokens.document["access_token"]) != revoked
            assert key_id_of(tokens.document["refresh_token"]) != revoked


async def test_what_one_server_signs_with_a_new_key_is_good_at_the_other(
    servers: tuple[AuthServer, AuthServer],
) -> None:
    """A client is served by now this, now that auth server, and its token may be milliseconds old."""
    one, other = servers
    await one.sign_up()
    token = (await one.log_in()).document["refresh_token"]
    for turn in range(ROUNDS):
        signer, reader = (one, other) if turn % 2 else (other, one)
        new = (await signer.services.keys.rotate(at_once=True)).key_id
        for server in (signer, reader):
            answer = await server.refresh(token)
            assert answer.status == 200
            token = answer.document["refresh_token"]
            assert key_id_of(token) == new
        published = await reader.call("GET", "/.well-known/jwks.json")
        assert new in {key["kid"] for key in published.document["keys"]}


async def test_no_refresh_fails_while_keys_are_rotated(servers: tuple[AuthServer, AuthServer]) -> None:
    """Four clients, each of which is served by both auth servers in turn."""
    await servers[0].sign_up()
    is_over = asyncio.Event()
    signed_with: set[str] = set()

    async def keep_refreshing() -> None:
        token = (await servers[0].log_in()).document["refresh_token"]
        for server in cycle(servers):
            if is_over.is_set():
                return
            answer = await server.refresh(token)
            assert answer.status == 200
            token = answer.document["refresh_token"]
            signed_with.add(key_id_of(token))

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(keep_refreshing())
        for _ in range(2 * ROUNDS):
            new = (await servers[0].services.keys.rotate(at_once=True)).key_id
            await eventually(partial(signed_with.__contains__, new))
        is_over.set()


async def test_a_slow_reading_does_not_bring_a_revoked_key_back(
    auth: AuthServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has seen the keys before the revocation; whoever asks after it gets a reading of their own."""
    keys, repository = auth.services.key_ring, auth.services.key_ring._repository
    has_seen, may_return = asyncio.Event(), asyncio.Event()
    published_keys = repository.published_keys

    async def slowly() -> tuple[Sequence[StoredKey], datetime]:
        seen = await published_keys()
        has_seen.set()
        await may_return.wait()
        return seen

    monkeypatch.setattr(repository, "published_keys", slowly)
    revoked = keys.signing.key_id
    async with asyncio.TaskGroup() as group:
        group.create_task(keys.catch_up())
        await has_seen.wait()
        await auth.services.keys.revoke(revoked)
        group.create_task(keys.catch_up())
        may_return.set()
    assert keys.signing.key_id != revoked
    assert revoked not in keys.published
