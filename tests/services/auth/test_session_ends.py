"""However sessions end: once the call has returned, every gateway refuses their tokens, and no others.

The gateway's part is played by its real mirror of the revocations, on a real store.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest

from shared.auth.jwt import Claims
from shared.auth.revocation_mirror import RevocationMirror
from shared.config import Secret
from tests.engines import Engines
from tests.services.auth.conftest import PASSWORD, Answer, AuthServer, auth_server
from tests.shared.auth.valkey import Valkey
from tests.waiting import eventually

ALICE = "alice@example.com"


@dataclass
class Scene:
    """Alice is logged in three times, and sits at the first of them; Bob is logged in, too."""

    auth: AuthServer
    alice: list[Answer]
    bob: Answer

    def claims(self) -> dict[str, Claims]:
        """The sessions by name."""
        first, second, third = map(self.auth.claims, self.alice)
        return {"first": first, "second": second, "third": third, "bob": self.auth.claims(self.bob)}

    async def log_out(self, scope: str) -> int:
        own = self.claims()["first"].principal
        return (await self.auth.log_out(own, scope)).status

    async def end_second(self) -> int:
        claims = self.claims()
        target = f"/auth/sessions/{claims['second'].session_id}"
        return (await self.auth.call("DELETE", target, principal=claims["first"].principal)).status

    async def change_password(self) -> int:
        body = {"current_password": PASSWORD, "new_password": f"{PASSWORD} staple"}
        own = self.claims()["first"].principal
        return (await self.auth.call("POST", "/auth/password", body, own)).status

    async def use_old_token_again(self) -> int:
        old = self.alice[2].document["refresh_token"]
        await self.auth.refresh((await self.auth.refresh(old)).document["refresh_token"])
        return (await self.auth.refresh(old)).status

    async def lock(self) -> int:
        return await self.auth.services.administration.lock(ALICE)

    async def give_role(self) -> int:
        return len((await self.auth.services.administration.add_role(ALICE, "support")).roles)

    async def take_role(self) -> int:
        return len((await self.auth.services.administration.remove_role(ALICE, "user")).roles)


Call = Callable[[Scene], Awaitable[int]]
ALL_OF_ALICE = {"first", "second", "third"}
WAYS: dict[str, tuple[Call, int, set[str]]] = {
    "logout local": (lambda scene: scene.log_out("local"), 204, {"first"}),
    "logout others": (lambda scene: scene.log_out("others"), 204, {"second", "third"}),
    "logout global": (lambda scene: scene.log_out("global"), 204, ALL_OF_ALICE),
    "one session ended": (Scene.end_second, 204, {"second"}),
    "password changed": (Scene.change_password, 204, {"second", "third"}),
    "refresh token reused": (Scene.use_old_token_again, 401, {"third"}),
    "account locked": (Scene.lock, 3, ALL_OF_ALICE),
    "role given": (Scene.give_role, 2, ALL_OF_ALICE),
    "role taken": (Scene.take_role, 0, ALL_OF_ALICE),
}


@pytest.fixture
async def scene(auth: AuthServer) -> Scene:
    return await new_scene(auth)


async def new_scene(auth: AuthServer) -> Scene:
    await auth.sign_up()
    await auth.sign_up("bob@example.com")
    alice = [await auth.log_in() for _ in range(3)]
    return Scene(auth, alice, await auth.log_in("bob@example.com"))


@pytest.fixture
async def gateway(engines: Engines, auth: AuthServer) -> AsyncIterator[RevocationMirror]:
    """The mirror of a gateway that is up to date."""
    await auth.revocations.spread()
    async with RevocationMirror(engines.redis_url) as mirror:
        await eventually(mirror.is_fresh)
        yield mirror


@pytest.mark.parametrize("way", WAYS)
async def test_every_end_reaches_the_gateways(scene: Scene, gateway: RevocationMirror, way: str) -> None:
    call, expected, ended = WAYS[way]
    claims = scene.claims()
    assert not any(map(gateway.refuses, claims.values()))
    assert await call(scene) == expected
    await eventually(lambda: all(gateway.refuses(claims[name]) for name in ended))
    assert {name for name, each in claims.items() if gateway.refuses(each)} == ended


@pytest.mark.parametrize("way", ["role given", "account locked"])
async def test_what_is_issued_afterwards_is_let_in(scene: Scene, gateway: RevocationMirror, way: str) -> None:
    """A revocation by user stops at its own time, to the millisecond."""
    call, expected, _ = WAYS[way]
    old = scene.claims()["first"]
    assert await call(scene) == expected
    await scene.auth.services.administration.unlock(ALICE)
    new = scene.auth.claims(await scene.auth.log_in())
    await eventually(lambda: gateway.refuses(old))
    assert not gateway.refuses(new)


@pytest.mark.parametrize("way", ["logout local", "logout others", "logout global", "one session ended"])
async def test_whoever_asks_again_after_a_503_is_told_204_when_the_store_has_it(
    database_url: Secret, valkey: Valkey, way: str
) -> None:
    """The sessions have ended in the database: nothing is left to end, but something is left to tell."""
    call, expected, ended = WAYS[way]
    async with auth_server(database_url, valkey.url) as auth:
        scene = await new_scene(auth)
        valkey.kill()
        assert await call(scene) == 503
        assert await call(scene) == 503
        valkey.start()
        assert await call(scene) == expected
        claims = scene.claims()
        told = {name for name in claims if valkey.client.exists(f"revoked:sid:{claims[name].session_id}")}
        assert told == ended
