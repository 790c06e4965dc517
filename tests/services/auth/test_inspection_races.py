"""Tokens that are revoked and used at the same moment."""

import asyncio
from collections import Counter

import pytest

from tests.services.auth.conftest import Answer, AuthServer
from tests.services.auth.resource_server import ResourceServer

pytestmark = pytest.mark.races

AT_ONCE = 20


async def test_parallel_revocations_of_a_token_revoke_it_once(auth: AuthServer) -> None:
    await auth.sign_up()
    warehouse = await ResourceServer.register(auth)
    tokens = (await auth.log_in()).document
    for kind in ("access_token", "refresh_token"):
        answers = await asyncio.gather(*(warehouse.revoke(tokens[kind]) for _ in range(AT_ONCE)))
        assert {answer.status for answer in answers} == {200}
        assert not await warehouse.is_active(tokens[kind])
    entries = await auth.query("SELECT details ->> 'kind' FROM audit WHERE event = 'token-revoked'")
    assert Counter(kind for (kind,) in entries) == {"access_token": 1, "refresh_token": 1}


async def test_a_refresh_and_the_tokens_revocation_at_once_end_logged_out(auth: AuthServer) -> None:
    await auth.sign_up()
    warehouse = await ResourceServer.register(auth)
    for _ in range(AT_ONCE):
        token = (await auth.log_in()).document["refresh_token"]
        refreshed, revoked = await asyncio.gather(auth.refresh(token), warehouse.revoke(token))
        assert revoked.status == 200
        assert refreshed.status in {200, 401}
        if refreshed.status == 200:  # it came first: what it gave is no good any more
            assert not await warehouse.is_active(refreshed.document["access_token"])
            assert not await warehouse.is_active(refreshed.document["refresh_token"])


async def test_once_a_revocation_is_answered_nobody_is_told_that_the_token_is_active(
    auth: AuthServer,
) -> None:
    await auth.sign_up()
    warehouse = await ResourceServer.register(auth)
    for _ in range(5):
        token = (await auth.log_in()).document["access_token"]
        revoking = asyncio.create_task(warehouse.revoke(token))

        async def ask(token: str = token, revoking: "asyncio.Task[Answer]" = revoking) -> bool:
            """Whether it was called active although it had been revoked before the question."""
            was_revoked = revoking.done()
            return await warehouse.is_active(token) and was_revoked

        while not revoking.done():
            assert not any(await asyncio.gather(*(ask() for _ in range(4))))
        assert (await revoking).status == 200
        assert not await ask()
