"""A logout reaches the store late rather than never, and comes back when the store forgets."""

import signal
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, suppress

import pytest

from services.auth.upkeep import SPREAD_SECONDS
from shared.auth.revocation_mirror import RevocationMirror
from shared.config import Secret
from shared.context import Principal
from shared.duties import Duty, repeatedly
from shared.errors import Unavailable
from shared.tasks import background
from tests.services.auth.conftest import AuthServer, auth_server
from tests.shared.auth.valkey import Valkey
from tests.waiting import eventually


@pytest.fixture
async def auth(database_url: Secret, valkey: Valkey) -> AsyncIterator[AuthServer]:
    async with auth_server(database_url, valkey.url) as server:
        await server.sign_up()
        yield server


def spreading(auth: AuthServer) -> AbstractAsyncContextManager[object]:
    duty = Duty("revocations", auth.revocations.spread, SPREAD_SECONDS)
    return background(repeatedly(duty), duty.name)


def restart(valkey: Valkey) -> None:
    valkey.kill()
    valkey.start()


async def has_everything(auth: AuthServer) -> None:
    """Returns when the store does; right after its death it may not even answer."""

    async def is_complete() -> bool:
        with suppress(Unavailable):
            return await auth.store.is_complete()
        return False

    await eventually(is_complete)


async def logged_in(auth: AuthServer) -> Principal:
    return auth.claims(await auth.log_in()).principal


async def test_a_logout_is_acknowledged_only_when_the_store_has_it(auth: AuthServer, valkey: Valkey) -> None:
    principal = await logged_in(auth)
    valkey.kill()
    answer = await auth.log_out(principal)
    assert answer.status == 503
    assert answer.headers.get("retry-after")
    assert await auth.query("SELECT stored_at FROM revocations") == [(None,)]
    assert await auth.query("SELECT count(*) FROM sessions WHERE ended_at IS NULL") == [(0,)]
    valkey.start()
    assert (await auth.log_out(principal)).status == 204
    assert valkey.client.exists(f"revoked:sid:{principal.session_id}")


async def test_a_frozen_store_is_no_acknowledgement_either(auth: AuthServer, valkey: Valkey) -> None:
    principal = await logged_in(auth)
    valkey.signal(signal.SIGSTOP)
    assert (await auth.log_out(principal)).status == 503
    valkey.signal(signal.SIGCONT)
    assert (await auth.log_out(principal)).status == 204


async def test_what_could_not_be_sent_is_sent_later(auth: AuthServer, valkey: Valkey) -> None:
    principal = await logged_in(auth)
    valkey.kill()
    assert (await auth.log_out(principal)).status == 503
    async with spreading(auth):
        valkey.start()

        async def is_sent() -> bool:
            return await auth.query("SELECT count(*) FROM revocations WHERE stored_at IS NULL") == [(0,)]

        await eventually(is_sent)
    assert valkey.client.exists(f"revoked:sid:{principal.session_id}")


async def test_a_wiped_store_has_everything_again_within_a_second(auth: AuthServer, valkey: Valkey) -> None:
    """A busy machine may take longer now and then; it is within a second once in three times at least."""
    principals = [await logged_in(auth) for _ in range(5)]
    for principal in principals:
        await auth.log_out(principal)
    async with spreading(auth):
        await has_everything(auth)
        for lose in (valkey.client.flushall, lambda: restart(valkey)):
            waits = []
            for _ in range(3):
                lose()
                lost = time.monotonic()
                await has_everything(auth)
                waits.append(time.monotonic() - lost)
                for principal in principals:
                    assert valkey.client.exists(f"revoked:sid:{principal.session_id}")
            assert min(waits) < 1.0


async def test_a_gateway_refuses_after_the_204_whatever_happens_to_the_store(
    auth: AuthServer, valkey: Valkey
) -> None:
    tokens = await auth.log_in()
    claims = auth.claims(tokens)
    async with (
        spreading(auth),
        RevocationMirror(valkey.url) as gateway,
    ):
        await eventually(gateway.is_fresh)
        assert not gateway.refuses(claims)
        assert (await auth.log_out(claims.principal)).status == 204
        await eventually(lambda: gateway.refuses(claims))
        valkey.client.flushall()
        valkey.kill()
        valkey.start()
        assert gateway.refuses(claims)
        async with RevocationMirror(valkey.url) as newcomer:

            def newcomer_is_fresh() -> bool:
                assert newcomer.refuses(claims) or not newcomer.is_fresh()
                return newcomer.is_fresh()

            await eventually(newcomer_is_fresh)
            assert newcomer.refuses(claims)


async def test_what_has_expired_is_not_restored(auth: AuthServer, valkey: Valkey) -> None:
    principal = await logged_in(auth)
    await auth.log_out(principal)
    await auth.execute("UPDATE revocations SET expires_at = now()")
    valkey.client.flushall()
    async with spreading(auth):
        await has_everything(auth)
    assert not valkey.client.exists(f"revoked:sid:{principal.session_id}")
