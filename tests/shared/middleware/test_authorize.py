from collections.abc import Awaitable
from uuid import UUID

import pytest

from shared.context import ANONYMOUS, Principal
from shared.errors import Forbidden, Unauthenticated
from shared.http.messages import Headers, Request, Response
from shared.middleware.authorize import authorize, user_id_of, users_only


async def welcome(_: Request) -> Response:
    return Response(200)


def never(_: Request) -> Awaitable[Response]:
    raise AssertionError("nobody should have come so far")


def asked_by(*roles: str) -> Request:
    request = Request("GET", "/", Headers([]))
    request.principal = Principal(user_id="u", roles=frozenset(roles))
    return request


def asked_by_nobody() -> Request:
    return Request("GET", "/", Headers([]), principal=ANONYMOUS)


@pytest.mark.parametrize("roles", [("admin",), ("support", "customer")])
async def test_one_of_the_roles_is_enough(roles: tuple[str, ...]) -> None:
    assert (await authorize({"admin", "support"})(welcome)(asked_by(*roles))).status == 200


@pytest.mark.parametrize("roles", [(), ("customer",), ("Admin",), ("admin,",)])
async def test_without_one_it_is_forbidden(roles: tuple[str, ...]) -> None:
    with pytest.raises(Forbidden):
        await authorize({"admin", "support"})(never)(asked_by(*roles))


async def test_whoever_is_not_logged_in_is_asked_to() -> None:
    with pytest.raises(Unauthenticated):
        await authorize({"admin"})(never)(asked_by_nobody())


async def test_no_roles_let_everyone_pass() -> None:
    assert authorize(set())(welcome) is welcome


@pytest.mark.parametrize("roles", [(), ("customer",), ("admin",)])
async def test_every_user_passes_whatever_their_roles(roles: tuple[str, ...]) -> None:
    assert (await users_only()(welcome)(asked_by(*roles))).status == 200


async def test_only_users_pass() -> None:
    with pytest.raises(Unauthenticated):
        await users_only()(never)(asked_by_nobody())
    roles_of_nobody = Request("GET", "/", Headers([]), principal=Principal(roles=frozenset({"admin"})))
    with pytest.raises(Unauthenticated):
        await users_only()(never)(roles_of_nobody)


def test_a_users_identifier_is_read() -> None:
    assert user_id_of(Principal(user_id="018cc251-f400-7000-8000-0000000000c1")) == UUID(
        "018cc251-f400-7000-8000-0000000000c1"
    )


@pytest.mark.parametrize("user_id", ["", "u", "018cc251f40070008000-0000000000c1"])
def test_who_has_none_is_nobody(user_id: str) -> None:
    with pytest.raises(Unauthenticated):
        user_id_of(Principal(user_id=user_id))
