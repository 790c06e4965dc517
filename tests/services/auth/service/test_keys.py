"""What the operator can do to the signing keys, on a real database and store."""

import json
from datetime import timedelta

import pytest

from services.auth.domain.audit import Event
from services.auth.domain.keys import KeyState, StoredKey
from services.auth.key_maker import SealingKeyMaker
from services.auth.service.keys import KeyService
from services.auth.signing_keys import PUBLISHED_AHEAD
from shared.auth.revocation_mirror import RevocationMirror
from shared.config import Secret
from shared.errors import Conflict, NotFound
from tests.engines import Engines
from tests.services.auth.conftest import AuthServer, auth_server
from tests.waiting import eventually

IDLE = timedelta(days=30)


@pytest.fixture
def keys(auth: AuthServer) -> KeyService:
    return auth.services.keys


def signing(auth: AuthServer) -> str:
    return auth.services.key_ring.signing.key_id


async def states(keys: KeyService) -> dict[str, KeyState]:
    listed = await keys.keys()
    return {key.key_id: key.state_at(listed.now) for key in listed.keys}


async def find(keys: KeyService, key_id: str) -> StoredKey:
    return next(key for key in (await keys.keys()).keys if key.key_id == key_id)


async def published(auth: AuthServer) -> set[str]:
    answer = await auth.call("GET", "/.well-known/jwks.json")
    return {key["kid"] for key in answer.document["keys"]}


async def time_passes(auth: AuthServer, time: timedelta) -> None:
    """Everything in the table is that much longer ago."""
    columns = ("signs_from", "signs_until", "published_until", "revoked_at")
    changes = ", ".join(f"{column} = {column} - interval '{time.total_seconds()} s'" for column in columns)
    await auth.execute(f"UPDATE signing_keys SET {changes}")


async def audited(auth: AuthServer, event: Event) -> list[dict[str, str]]:
    return [dict(row.entry.details) for row in await auth.services.audit.read(event=event)]


# Rotating


async def test_the_next_key_is_announced_signs_and_outlives_its_tokens(
    auth: AuthServer, keys: KeyService
) -> None:
    old = signing(auth)
    new = (await keys.rotate()).key_id
    assert await states(keys) == {old: KeyState.SIGNING, new: KeyState.ANNOUNCED}
    assert await published(auth) == {old, new}
    await time_passes(auth, PUBLISHED_AHEAD - timedelta(minutes=1))
    await auth.services.key_supply.ensure()
    assert signing(auth) == old
    await time_passes(auth, timedelta(minutes=1))
    await auth.services.key_supply.ensure()
    assert signing(auth) == new
    assert await states(keys) == {old: KeyState.RETIRING, new: KeyState.SIGNING}
    await time_passes(auth, IDLE)
    assert await published(auth) == {old, new}  # its last refresh token may have been used in the last moment
    await time_passes(auth, timedelta(minutes=2))
    assert await published(auth) == {new}
    assert await states(keys) == {old: KeyState.RETIRED, new: KeyState.SIGNING}
    assert len((await keys.keys()).keys) == 2


async def test_in_haste_the_new_key_signs_at_once_and_old_tokens_stay_good(
    auth: AuthServer, keys: KeyService
) -> None:
    await auth.sign_up()
    before = await auth.log_in()
    old = signing(auth)
    new = (await keys.rotate(at_once=True)).key_id
    after = await auth.refresh(before.document["refresh_token"])
    assert auth.claims(before).key_id == old
    assert auth.claims(after).key_id == new
    assert (await auth.refresh(after.document["refresh_token"])).status == 200


async def test_a_key_that_never_signed_leaves_at_once(auth: AuthServer, keys: KeyService) -> None:
    old, announced = signing(auth), (await keys.rotate()).key_id
    new = (await keys.rotate(at_once=True)).key_id
    assert await published(auth) == {old, new}
    assert await states(keys) == {
        old: KeyState.RETIRING,
        new: KeyState.SIGNING,
        announced: KeyState.SUPERSEDED,
    }
    assert await keys.revoke(announced) is KeyState.SUPERSEDED
    await auth.services.key_supply.ensure()
    assert signing(auth) == new


async def test_a_rotation_is_how_the_algorithm_is_changed_in_haste(
    engines: Engines, database_url: Secret
) -> None:
    async with auth_server(database_url, engines.redis_url) as before:
        old = signing(before)
    async with auth_server(database_url, engines.redis_url, SIGNING_ALGORITHM="EdDSA") as auth:
        assert signing(auth) == old
        await auth.services.keys.rotate(at_once=True)
        await auth.services.key_supply.ensure()
        assert auth.services.key_ring.signing.algorithm == "EdDSA"
        assert (await find(auth.services.keys, old)).signs_until is not None


async def test_every_key_made_is_written_down(auth: AuthServer, keys: KeyService) -> None:
    first = await find(keys, signing(auth))
    new = await keys.rotate()
    hasty = await keys.rotate(at_once=True)
    assert await audited(auth, Event.KEY_MADE) == [
        {"key_id": key.key_id, "algorithm": "ES256", "signs_from": key.signs_from.isoformat(), **more}
        for key, more in (
            (first, {"why": "missing"}),
            (new, {"why": "rotation", "retires": first.key_id}),
            (hasty, {"why": "rotation", "retires": f"{first.key_id} {new.key_id}"}),
        )
    ]


async def test_who_cannot_open_the_keys_that_sign_makes_none(auth: AuthServer, keys: KeyService) -> None:
    """It would be sealed so that the auth servers cannot open it."""
    keys._maker = SealingKeyMaker(bytes(32), "ES256")
    with pytest.raises(Conflict, match="AUTH_KEY_ENCRYPTION_KEY does not open"):
        await keys.rotate()
    assert await states(keys) == {signing(auth): KeyState.SIGNING}


async def test_who_has_lost_the_setting_revokes_what_nobody_can_open(
    auth: AuthServer, keys: KeyService
) -> None:
    keys._maker = SealingKeyMaker(bytes(32), "ES256")
    await keys.revoke(signing(auth))
    (new,) = [key for key in (await keys.keys()).keys if key.revoked_at is None]
    assert keys._maker.open(new).key_id == new.key_id


# Revoking


async def test_nothing_that_a_revoked_key_has_signed_is_good(
    auth: AuthServer, keys: KeyService, engines: Engines
) -> None:
    await auth.sign_up()
    tokens = await auth.log_in()
    claims, old = auth.claims(tokens), signing(auth)
    async with RevocationMirror(engines.redis_url) as gateway:
        await auth.revocations.spread()
        await eventually(gateway.is_fresh)
        assert not gateway.refuses(claims)
        assert await keys.revoke(old) is KeyState.SIGNING
        await eventually(lambda: gateway.refuses(claims))
    assert old not in await published(auth)
    assert (await auth.refresh(tokens.document["refresh_token"])).status == 401
    after = await auth.log_in()
    assert auth.claims(after).key_id == signing(auth) != old
    assert await states(keys) == {old: KeyState.REVOKED, signing(auth): KeyState.SIGNING}


async def test_a_revoked_key_is_refused_for_longer_than_any_token_of_ours_lives(
    auth: AuthServer, keys: KeyService
) -> None:
    """A thief's tokens expire when the thief likes, and a gateway may be without a newer JWK Set for long."""
    old = signing(auth)
    await keys.revoke(old)
    ((kind, name, lifetime),) = await auth.query(
        "SELECT kind, name, expires_at - revoked_at FROM revocations"
    )
    assert (kind, name) == ("kid", old)
    assert lifetime > timedelta(days=300)


async def test_a_revocation_is_written_down_with_the_key_that_follows(
    auth: AuthServer, keys: KeyService
) -> None:
    old = signing(auth)
    await keys.revoke(old)
    assert await audited(auth, Event.KEY_REVOKED) == [{"key_id": old, "was": "signing"}]
    assert [made["why"] for made in await audited(auth, Event.KEY_MADE)] == ["missing", "revocation"]


async def test_the_announced_key_takes_over(auth: AuthServer, keys: KeyService) -> None:
    old, new = signing(auth), (await keys.rotate()).key_id
    await keys.revoke(old)
    await auth.services.key_supply.ensure()
    assert signing(auth) == new
    assert len((await keys.keys()).keys) == 2


async def test_without_the_announced_key_the_old_one_goes_on(auth: AuthServer, keys: KeyService) -> None:
    old, announced = signing(auth), (await keys.rotate()).key_id
    assert await keys.revoke(announced) is KeyState.ANNOUNCED
    await auth.services.key_supply.ensure()
    assert signing(auth) == old
    listed = (await keys.keys()).keys
    assert [key.key_id for key in listed][:2] == [old, announced]
    assert listed[0].signs_until == listed[2].signs_from > listed[1].signs_from


async def test_a_retired_key_may_be_revoked_too(auth: AuthServer, keys: KeyService) -> None:
    old = signing(auth)
    await keys.rotate(at_once=True)
    await time_passes(auth, IDLE + timedelta(minutes=2))
    assert await keys.revoke(old) is KeyState.RETIRED
    assert await auth.query("SELECT count(*) FROM revocations") == [(1,)]


async def test_what_cannot_be_revoked(auth: AuthServer, keys: KeyService) -> None:
    old = signing(auth)
    await keys.revoke(old)
    before = await keys.keys()
    with pytest.raises(Conflict, match="revoked already, at 20"):
        await keys.revoke(old)
    for unknown in ("", "unknown", "é\x01"):
        with pytest.raises(NotFound):
            await keys.revoke(unknown)
    assert (await keys.keys()).keys == before.keys
    assert len(await audited(auth, Event.KEY_REVOKED)) == 1


async def test_a_store_that_is_away_hears_of_it_later(auth: AuthServer, keys: KeyService) -> None:
    class Away:
        async def publish(self, revocations: object) -> None:
            """Leaves it to the auth server."""

    keys._revocations = Away()
    old = signing(auth)
    await keys.revoke(old)
    assert await auth.query("SELECT stored_at FROM revocations") == [(None,)]
    await auth.revocations.spread()
    assert await auth.store._client.exists(f"revoked:kid:{old}")
    assert old not in json.dumps(list(await published(auth)))
