from dataclasses import replace

from services.auth.domain.accounts import User
from services.auth.domain.passwords import StoredPassword
from shared.ids import new_id
from tests.services.auth.conftest import AuthServer

ALICE = User(new_id(), "alice@example.com", "Alice")
FIRST = StoredPassword("first hash", 1)


async def test_an_account_begins_with_version_one(auth: AuthServer) -> None:
    await auth.services.stored.accounts.add_user(ALICE, FIRST.hash)
    assert await auth.services.stored.passwords.find(ALICE.user_id) == FIRST
    assert await auth.services.stored.accounts.find_login(ALICE.email) == (ALICE, FIRST)
    assert await auth.services.stored.passwords.find(new_id()) is None


async def test_a_new_hash_of_the_same_password_is_no_change(auth: AuthServer) -> None:
    passwords = auth.services.stored.passwords
    await auth.services.stored.accounts.add_user(ALICE, FIRST.hash)
    await passwords.rehash(ALICE.user_id, FIRST.hash, "renewed hash")
    assert await passwords.find(ALICE.user_id) == StoredPassword("renewed hash", 1)
    assert await passwords.is_unchanged(ALICE.user_id, FIRST)


async def test_a_late_rehash_does_not_bring_the_old_password_back(auth: AuthServer) -> None:
    passwords = auth.services.stored.passwords
    await auth.services.stored.accounts.add_user(ALICE, FIRST.hash)
    await passwords.change(ALICE.user_id, "second hash")
    await passwords.rehash(ALICE.user_id, FIRST.hash, "renewed first hash")
    second = StoredPassword("second hash", 2)
    assert await passwords.find(ALICE.user_id) == second
    assert not await passwords.is_unchanged(ALICE.user_id, FIRST)
    assert await passwords.is_unchanged(ALICE.user_id, second)


async def test_only_one_account_is_concerned(auth: AuthServer) -> None:
    bob = replace(ALICE, user_id=new_id(), email="bob@example.com")
    for user in (ALICE, bob):
        await auth.services.stored.accounts.add_user(user, FIRST.hash)
    await auth.services.stored.passwords.change(ALICE.user_id, "second hash")
    await auth.services.stored.passwords.rehash(ALICE.user_id, "second hash", "renewed hash")
    assert await auth.services.stored.passwords.find(bob.user_id) == FIRST
