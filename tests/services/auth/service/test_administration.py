"""What the operator does to accounts, on a real database and a real store."""

import pytest

from services.auth.domain.audit import Event
from services.auth.service.administration import AdministrationService
from shared.errors import Conflict, NotFound
from tests.services.auth.conftest import PASSWORD, AuthServer

ALICE, BOB = "alice@example.com", "bob@example.com"


@pytest.fixture
async def administration(auth: AuthServer) -> AdministrationService:
    """Of a server where Alice has an account."""
    await auth.sign_up(ALICE)
    return auth.services.administration


async def written(auth: AuthServer, event: Event) -> list[dict[str, str]]:
    return [dict(row.entry.details) for row in await auth.services.audit.read(event=event)]


# Locks


async def test_a_lock_ends_everything_that_the_account_can_do(
    auth: AuthServer, administration: AdministrationService
) -> None:
    logins = [await auth.log_in() for _ in range(2)]
    assert await administration.lock("Alice@example.com", "stolen laptop") == 2
    assert (await auth.log_in()).status == 401
    for login in logins:
        assert (await auth.refresh(login.document["refresh_token"])).status == 401
    assert await auth.query("SELECT DISTINCT end_reason FROM sessions") == [("account locked",)]
    revoked = await auth.query("SELECT kind, stored_at IS NOT NULL FROM revocations ORDER BY kind")
    assert revoked == [("sid", True), ("sid", True), ("user", True)]
    assert await written(auth, Event.ACCOUNT_LOCKED) == [{"sessions": "2", "reason": "stolen laptop"}]


async def test_an_unlocked_account_starts_anew(
    auth: AuthServer, administration: AdministrationService
) -> None:
    login = await auth.log_in()
    await administration.lock(ALICE)
    await administration.unlock(ALICE)
    assert (await auth.refresh(login.document["refresh_token"])).status == 401
    assert (await auth.log_in()).status == 200
    assert await written(auth, Event.ACCOUNT_UNLOCKED) == [{}]


async def test_unlocking_forgets_what_was_guessed(
    auth: AuthServer, administration: AdministrationService
) -> None:
    for _ in range(11):
        await auth.log_in(password="not the password")
    await auth.execute("UPDATE guesses SET locked_until = now() + interval '1 hour' WHERE kind = 'account'")
    assert (await auth.log_in()).status == 429
    await administration.unlock(ALICE)
    assert (await auth.log_in()).status == 200
    assert await auth.query("SELECT kind FROM guesses WHERE kind <> 'address'") == []
    assert await written(auth, Event.ACCOUNT_UNLOCKED) == [{}]


async def test_what_is_done_is_written_down_once(
    auth: AuthServer, administration: AdministrationService
) -> None:
    for _ in range(2):
        await administration.unlock(ALICE)
    for _ in range(2):
        assert await administration.lock(ALICE) == 0
    for _ in range(2):
        await administration.unlock(ALICE)
    for _ in range(2):
        await administration.add_role(ALICE, "support")
    for _ in range(2):
        await administration.remove_role(ALICE, "support")
    rows = await auth.services.audit.read(user_id=(await administration.account(ALICE)).user_id)
    assert [row.entry.event for row in rows] == [
        Event.SIGNED_UP,
        Event.ACCOUNT_LOCKED,
        Event.ACCOUNT_UNLOCKED,
        Event.ROLES_CHANGED,
        Event.ROLES_CHANGED,
    ]


async def test_nobody_can_be_changed_who_is_not_there(administration: AdministrationService) -> None:
    for attempt in (
        administration.lock(BOB),
        administration.unlock(BOB),
        administration.add_role(BOB, "support"),
        administration.remove_role(BOB, "support"),
    ):
        with pytest.raises(NotFound):
            await attempt


# Roles


async def test_roles_come_and_go(auth: AuthServer, administration: AdministrationService) -> None:
    tokens = await auth.log_in()
    assert (await administration.add_role(ALICE, "support")).roles == ("user", "support")
    tokens = await auth.refresh(tokens.document["refresh_token"])
    assert auth.claims(tokens).roles == {"user", "support"}
    assert (await administration.remove_role(ALICE, "support")).roles == ("user",)
    tokens = await auth.refresh(tokens.document["refresh_token"])
    assert auth.claims(tokens).roles == {"user"}
    assert await written(auth, Event.ROLES_CHANGED) == [{"added": "support"}, {"removed": "support"}]


# The last admin


async def test_a_granted_role_ends_the_tokens_without_it(
    auth: AuthServer, administration: AdministrationService
) -> None:
    tokens = await auth.log_in()
    await administration.add_role("Alice@example.com", "support")
    rows = await auth.query("SELECT kind, name, stored_at IS NOT NULL, revoked_at FROM revocations")
    before = auth.claims(tokens)
    assert rows[0][:3] == ("user", before.subject, True)
    assert before.issued_at <= rows[0][3].timestamp()
    after = auth.claims(await auth.refresh(tokens.document["refresh_token"]))
    assert after.roles == {"user", "support"}
    assert after.issued_at > rows[0][3].timestamp() - 0.001


async def test_the_last_admin_stays_unless_forced(
    auth: AuthServer, administration: AdministrationService
) -> None:
    await administration.add_role(ALICE, "admin")
    login = await auth.log_in()
    for attempt in (administration.lock(ALICE), administration.remove_role(ALICE, "admin")):
        with pytest.raises(Conflict) as refused:
            await attempt
        assert refused.value.code == "last-admin"
    refreshed = await auth.refresh(login.document["refresh_token"])
    assert auth.claims(refreshed).roles == {"admin", "user"}
    assert await administration.lock(ALICE, force=True) == 1
    await administration.remove_role(ALICE, "admin")  # who is locked is no admin to lose


async def test_an_admin_beside_another_one_may_go(
    auth: AuthServer, administration: AdministrationService
) -> None:
    await auth.sign_up(BOB)
    for email in (ALICE, BOB):
        await administration.add_role(email, "admin")
    await administration.lock(ALICE)
    with pytest.raises(Conflict):
        await administration.lock(BOB)
    assert (await auth.log_in(BOB, PASSWORD)).status == 200
