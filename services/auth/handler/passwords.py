"""Passwords over HTTP."""

import msgspec

from services.auth.handler.caller import caller
from services.auth.service.passwords import PasswordChange, PasswordService
from shared.http.decoding import read_json
from shared.http.messages import Request, Response


class PasswordBody(msgspec.Struct, forbid_unknown_fields=True):
    """What `POST /auth/password` takes."""

    current_password: str
    new_password: str


class PasswordHandler:
    """One method a row."""

    def __init__(self, passwords: PasswordService) -> None:
        self._passwords = passwords

    async def change(self, request: Request) -> Response:
        """Another password, and the end of all other sessions."""
        user_id, session_id = caller(request.principal)
        body = await read_json(request, PasswordBody)
        wish = PasswordChange(body.current_password, body.new_password)
        await self._passwords.change(user_id, session_id, wish)
        return Response(204)
