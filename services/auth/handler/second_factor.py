"""The second factor over HTTP, for its owner."""

import msgspec

from services.auth.handler.caller import caller
from services.auth.service.second_factor import SecondFactorService
from shared.http.decoding import read_json
from shared.http.messages import NO_STORE, Request, Response, json_response


class CodeBody(msgspec.Struct, forbid_unknown_fields=True):
    """What `POST /auth/totp/confirm` and `DELETE /auth/totp` take."""

    code: str


class SecondFactorHandler:
    """One method a row."""

    def __init__(self, second_factor: SecondFactorService) -> None:
        self._second_factor = second_factor

    async def enrol(self, request: Request) -> Response:
        """A secret for the phone. Shown once."""
        user_id, _ = caller(request.principal)
        new = await self._second_factor.enrol(user_id)
        return json_response(201, {"secret": new.secret, "otpauth_uri": new.otpauth_uri}, [NO_STORE])

    async def confirm(self, request: Request) -> Response:
        """Recovery codes, against the first code from the phone. Shown once."""
        user_id, _ = caller(request.principal)
        body = await read_json(request, CodeBody)
        recovery_codes = await self._second_factor.confirm(user_id, body.code)
        return json_response(200, {"recovery_codes": recovery_codes}, [NO_STORE])

    async def disable(self, request: Request) -> Response:
        """The end of it. The code stands in the body, for URLs are logged."""
        user_id, _ = caller(request.principal)
        body = await read_json(request, CodeBody)
        await self._second_factor.disable(user_id, body.code)
        return Response(204)
