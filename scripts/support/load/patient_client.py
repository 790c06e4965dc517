"""HTTP for a client that does not give up: a request without an answer is sent again, in the same words."""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.http.client import Client
from shared.http.messages import Headers
from shared.http.pool import ClientError, PoolLimits
from shared.http.timeouts import Timeouts

TIMEOUTS = Timeouts(total=40.0)  # a gateway waits for 30
FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS = 0.1, 2.0  # between attempts, doubling
DOCUMENT_BYTES = 1_000_000
CONNECTIONS_PER_CLIENT = 2  # one asks twice at the same moment, now and then
SERVER_ERRORS = 500


class GaveUp(Exception):
    """No answer came within the client's patience."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response that is meant as one. `asked_at` and `heard_at` are of the attempt that brought it.

    Times are seconds of the monotonic clock; `document` is the body's JSON, None where there is none.
    """

    status: int
    headers: Mapping[str, str]
    document: Any
    asked_at: float
    heard_at: float

    @property
    def code(self) -> str:
        """What kind of problem it tells of; empty when it tells of none."""
        return str(self.document["type"]).rpartition(":")[2] if self._is_problem else ""

    @property
    def _is_problem(self) -> bool:
        return isinstance(self.document, dict) and "type" in self.document

    def __str__(self) -> str:
        return f"{self.status} {self.code}".strip()


class PatientClient:
    """Asks the server at `origin` for so many clients, each request for `patience` seconds at least.

    Tried again is what found no server or lost its answer, and what asks for that: a failure of the server's
    (5xx), and anything with `Retry-After`. `retries` counts them by their cause.
    """

    def __init__(self, origin: str, clients: int, patience: float) -> None:
        self._origin = origin
        self._client = Client(PoolLimits(connections=CONNECTIONS_PER_CLIENT * clients, waiting=100_000))
        self.patience = patience
        self.retries = Counter[str]()

    async def close(self) -> None:
        """Close its connections."""
        await self._client.close()

    async def ask(
        self, method: str, target: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """The answer, whatever it says. Raises GaveUp."""
        deadline, pause = time.monotonic() + self.patience, FIRST_PAUSE_SECONDS
        while True:
            answer = await self._attempt(method, target, body, headers or {})
            cause, least = _why_again(answer)
            if isinstance(answer, Answer) and not cause:
                return answer
            self.retries[cause] += 1
            if time.monotonic() > deadline:
                raise GaveUp(f"{method} {target}: {cause} for {self.patience:g} s")
            await asyncio.sleep(max(least, pause * random.uniform(0.5, 1.0)))  # noqa: S311 - no secret
            pause = min(2 * pause, LAST_PAUSE_SECONDS)

    async def _attempt(
        self, method: str, target: str, body: object, headers: Mapping[str, str]
    ) -> Answer | ClientError:
        fields = list(headers.items())
        content = b"" if body is None else json.dumps(body).encode()
        if content:
            fields.append(("Content-Type", "application/json"))
        began = time.monotonic()
        try:
            response = await self._client.request(
                self._origin, method, target, fields, content, timeouts=TIMEOUTS
            )
            received = await response.body.read(DOCUMENT_BYTES)
        except ClientError as failure:
            return failure
        document = json.loads(received) if _is_json(response.headers) else None
        return Answer(response.status, response.headers, document, began, time.monotonic())


def _why_again(answer: Answer | ClientError) -> tuple[str, float]:
    """The cause, empty when there is none, and the seconds that the server wants to be left alone for."""
    if isinstance(answer, ClientError):
        return "no answer", 0.0
    if answer.status >= SERVER_ERRORS or "retry-after" in answer.headers:
        return str(answer), min(float(answer.headers.get("retry-after", 0)), LAST_PAUSE_SECONDS)
    return "", 0.0


def _is_json(headers: Headers) -> bool:
    return "json" in headers.get("content-type", "")
