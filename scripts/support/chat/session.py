"""A user logged in at the gateway: calls with a token that is kept fresh. Nothing here shows a secret."""

import json
from dataclasses import dataclass
from typing import Any

from shared.http.client import Client
from shared.http.pool import ClientError
from shared.http.timeouts import Timeouts

TIMEOUTS = Timeouts(total=15.0)
DOCUMENT_BYTES = 4_000_000  # a page of a hundred messages is a tenth of that
UNAUTHENTICATED, TOO_MANY, SERVER_ERRORS, FIRST_ERROR = 401, 429, 500, 400


class NoAnswer(Exception):
    """Nobody is there, or not able to answer now: try again, not before `least_seconds`."""

    def __init__(self, why: str, least_seconds: float = 0.0) -> None:
        super().__init__(why)
        self.least_seconds = least_seconds


class Refused(Exception):
    """The gateway has said no. `code` is the kind of problem, `detail` what it says of it."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail


class SessionOver(Exception):
    """The session has ended: by a logout, a lock, or its age."""


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    document: Any
    retry_after: float


class Session:
    """Somebody's session at the gateway at `origin`."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._client = Client()
        self._access_token = ""
        self._refresh_token = ""

    async def log_in(self, email: str, password: str, code: str = "") -> None:
        """`code` is the second factor's, for who has one. Raises Refused, NoAnswer."""
        form = {"email": email, "password": password, **({"code": code} if code else {})}
        self._keep(_accepted(await self._send("POST", "/auth/login", form)))

    async def refresh(self) -> None:
        """New tokens for the refresh token. Raises SessionOver, NoAnswer."""
        answer = await self._send("POST", "/auth/refresh", {"refresh_token": self._refresh_token})
        if answer.status >= FIRST_ERROR:
            raise SessionOver
        self._keep(answer.document)

    async def ask(self, method: str, target: str, body: object = None) -> Any:
        """The answer's document, asked for as who is logged in. Raises Refused, NoAnswer, SessionOver."""
        answer = await self._send(method, target, body, self._access_token)
        if answer.status == UNAUTHENTICATED:
            await self.refresh()
            answer = await self._send(method, target, body, self._access_token)
        if answer.status == UNAUTHENTICATED:
            raise SessionOver
        return _accepted(answer)

    async def ticket_url(self) -> str:
        """Where to connect to, once and soon. Raises as `ask`."""
        return str((await self.ask("POST", "/ws/tickets"))["url"])

    async def log_out(self) -> None:
        """End the session. Raises as `ask`."""
        await self.ask("POST", "/auth/logout")

    async def close(self) -> None:
        """Close the connections; the session goes on."""
        await self._client.close()

    def _keep(self, tokens: Any) -> None:
        self._access_token, self._refresh_token = tokens["access_token"], tokens["refresh_token"]

    async def _send(self, method: str, target: str, body: object, token: str = "") -> _Answer:
        """Raises NoAnswer."""
        fields = [("Authorization", f"Bearer {token}")] if token else []
        content = b"" if body is None else json.dumps(body).encode()
        if content:
            fields.append(("Content-Type", "application/json"))
        try:
            response = await self._client.request(
                self._origin, method, target, fields, content, timeouts=TIMEOUTS
            )
            received = await response.body.read(DOCUMENT_BYTES)
        except ClientError as failure:
            raise NoAnswer(failure.detail) from failure
        document = json.loads(received) if "json" in response.headers.get("content-type", "") else None
        answer = _Answer(response.status, document, seconds_of(response.headers.get("retry-after", "0")))
        if answer.status == TOO_MANY or answer.status >= SERVER_ERRORS:
            raise NoAnswer(str(_refusal(answer)), answer.retry_after)
        return answer


def _accepted(answer: _Answer) -> Any:
    """Its document. Raises Refused."""
    if answer.status >= FIRST_ERROR:
        raise _refusal(answer)
    return answer.document


def _refusal(answer: _Answer) -> Refused:
    problem = answer.document if isinstance(answer.document, dict) else {}
    code = str(problem.get("type", "")).rpartition(":")[2]
    return Refused(answer.status, code, str(problem.get("detail", "no reason given")))


def seconds_of(text: str) -> float:
    """What a `Retry-After` says; 0 when it says nothing, or names a date."""
    return float(text) if text.isdigit() else 0.0
