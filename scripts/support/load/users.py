"""People with an account, who log in again when their token has run out."""

import asyncio
import secrets
from collections.abc import Mapping

from scripts.support.accounts import Account
from scripts.support.load.patient_client import Answer, PatientClient

OK, CREATED, UNAUTHENTICATED, TAKEN = 200, 201, 401, 409


class Refused(Exception):
    """An answer without which there is nothing to play."""


class User:
    """Somebody whom many clients may be at the same time."""

    def __init__(self, client: PatientClient, account: Account) -> None:
        self._client = client
        self._account = account
        self._token = ""
        self._login = asyncio.Lock()

    async def ask(
        self, method: str, target: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """The answer to who is logged in. Raises GaveUp, Refused when the login is."""
        while True:
            token = self._token or await self._log_in("")
            fields = {"Authorization": f"Bearer {token}", **(headers or {})}
            answer = await self._client.ask(method, target, body, fields)
            if answer.status != UNAUTHENTICATED:
                return answer
            await self._log_in(token)

    async def _log_in(self, former: str) -> str:
        """A token; of several that want another than `former` at the same time, one logs in for all."""
        async with self._login:
            if self._token == former:
                form = {"email": self._account.email, "password": self._account.password}
                answer = await self._client.ask("POST", "/auth/login", form)
                self._token = str(expected(OK, answer, "a login").document["access_token"])
            return self._token


async def sign_up(client: PatientClient) -> User:
    """Somebody new. Raises GaveUp, Refused."""
    account = Account(f"load-{secrets.token_hex(8)}@example.com", secrets.token_urlsafe(16))
    form = {"email": account.email, "password": account.password, "display_name": "Load"}
    answer = await client.ask("POST", "/auth/signup", form)
    if answer.status != TAKEN:  # by ourselves, an attempt earlier, whose answer was lost
        expected(CREATED, answer, "a signup")
    return User(client, account)


def expected(status: int, answer: Answer, what: str) -> Answer:
    """`answer`, which must have that status. Raises Refused."""
    if answer.status != status:
        raise Refused(f"{what} is answered with {answer} instead of {status}")
    return answer
