"""Signing up, and who asks."""

from tests.services.auth.conftest import PASSWORD, AuthServer, problem


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


async def test_me(auth: AuthServer) -> None:
    account = (await auth.sign_up()).document
    principal = auth.claims(await auth.log_in()).principal
    answer = await auth.call("GET", "/auth/me", principal=principal)
    assert (answer.status, answer.document) == (200, account)
