"""Accounts over HTTP."""

from typing import Any

import msgspec

from services.auth.domain.accounts import User
from services.auth.handler.caller import caller
from services.auth.service.accounts import AccountService, NewAccount
from shared.http.decoding import read_json
from shared.http.messages import NO_STORE, Request, Response, json_response


class SignUpBody(msgspec.Struct, forbid_unknown_fields=True):
    """What `POST /auth/signup` takes."""

    email: str
    password: str
    display_name: str


class AccountHandler:
    """One method a row."""

    def __init__(self, accounts: AccountService) -> None:
        self._accounts = accounts

    async def sign_up(self, request: Request) -> Response:
        """A new account."""
        body = await read_json(request, SignUpBody, self._accounts.rules)
        user = await self._accounts.sign_up(NewAccount(body.email, body.password, body.display_name))
        return json_response(201, _user_view(user))

    async def me(self, request: Request) -> Response:
        """Who asks."""
        user_id, _ = caller(request.principal)
        return json_response(200, _user_view(await self._accounts.user(user_id)), [NO_STORE])


def _user_view(user: User) -> dict[str, Any]:
    return {
        "user_id": user.user_id,
        "email": user.email,
        "display_name": user.display_name,
        "roles": user.roles,
    }
