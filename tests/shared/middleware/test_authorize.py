import pytest

from shared.context import Principal
from shared.errors import Forbidden
from shared.http.messages import Headers, Request, Response
from shared.middleware.authorize import authorize


async def welcome(_: Request) -> Response:
    return Response(200)


def asked_by(*roles: str) -> Request:
    request = Request("GET", "/", Headers([]))
    request.principal = Principal(user_id="u", roles=frozenset(roles))
    return request


@pytest.mark.parametrize("roles", [("admin",), ("support", "customer")])
async def test_one_of_the_roles_is_enough(roles: tuple[str, ...]) -> None:
    assert (await authorize({"admin", "support"})(welcome)(asked_by(*roles))).status == 200


@pytest.mark.parametrize("roles", [(), ("customer",), ("Admin",), ("admin,",)])
async def test_without_one_it_is_forbidden(roles: tuple[str, ...]) -> None:
    with pytest.raises(Forbidden):
        await authorize({"admin", "support"})(welcome)(asked_by(*roles))


async def test_no_roles_let_everyone_pass() -> None:
    assert authorize(set())(welcome) is welcome
