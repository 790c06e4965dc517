"""Clients that log in, refresh, and call the auth server and the product API without pause."""

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from shared.auth.jwt import key_id_of
from tests.e2e.client import Answer, Client
from tests.waiting import until

PASSWORD = "correct horse battery staple"
ANSWER_SECONDS = 30.0
REFRESHES = 3  # of each session


@dataclass(frozen=True, slots=True)
class Call:
    """What was asked, when, and what came of it. Times are seconds of the monotonic clock.

    `key_id` is of the key that has signed the token which was used, and `asked_for` is when the client had
    asked for that token. A login uses none; there it is the token that it has brought.
    """

    what: str
    status: int
    began: float
    asked_for: float
    key_id: str


class Load:
    """So many clients, each on a thread of its own and with an account of its own, while the block runs."""

    def __init__(self, gateway: Callable[[], Client], clients: int = 2) -> None:
        self.calls: list[Call] = []
        self._is_over = threading.Event()
        self._failures: list[BaseException] = []
        self._threads = [threading.Thread(target=self._run, args=[gateway()]) for _ in range(clients)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()
        assert not self._failures, self._failures

    def of(self, what: str) -> Sequence[Call]:
        """The calls of one kind so far."""
        return [call for call in list(self.calls) if call.what == what]

    def wait_for(self, what: str, condition: Callable[[Call], bool], number: int = 6) -> None:
        """Return when so many calls of that kind have met the condition."""
        until(
            lambda: self._failures or sum(map(condition, self.of(what))) >= number,
            ANSWER_SECONDS,
            f"{number} calls of {what}",
        )

    def _run(self, client: Client) -> None:
        try:
            user = _User(client, self.calls)
            while not self._is_over.is_set():
                user.live_one_session()
        except BaseException as failure:
            self._failures.append(failure)


class _User:
    """Goes on with a new login whenever a token is refused."""

    def __init__(self, client: Client, calls: list[Call]) -> None:
        self._client = client
        self._calls = calls
        self._form = {"email": f"user-{secrets.token_hex(6)}@example.com", "password": PASSWORD}
        answer = client.post("/auth/signup", {**self._form, "display_name": "User"})
        assert answer.status == 201, answer.body

    def live_one_session(self) -> None:
        tokens = self._log_in()
        for _ in range(REFRESHES):
            if tokens is None or not (self._use(tokens, "/auth/me") and self._use(tokens, "/products")):
                return
            tokens = self._refresh(tokens)

    def _log_in(self) -> "_Tokens | None":
        began = time.monotonic()
        answer = self._client.post("/auth/login", self._form)
        tokens = _tokens(answer, began)
        self._calls.append(Call("login", answer.status, began, began, tokens.key_id if tokens else ""))
        return tokens

    def _refresh(self, used: "_Tokens") -> "_Tokens | None":
        began = time.monotonic()
        answer = self._client.post("/auth/refresh", {"refresh_token": used.refresh})
        self._calls.append(Call("refresh", answer.status, began, used.asked_for, used.key_id))
        return _tokens(answer, began)

    def _use(self, tokens: "_Tokens", target: str) -> bool:
        began = time.monotonic()
        status = self._client.get(target, token=tokens.access).status
        self._calls.append(Call(target, status, began, tokens.asked_for, tokens.key_id))
        return status == 200


@dataclass(frozen=True, slots=True)
class _Tokens:
    access: str
    refresh: str
    asked_for: float
    key_id: str


def _tokens(answer: Answer, asked_for: float) -> _Tokens | None:
    if answer.status != 200:
        return None
    access, refresh = answer.json["access_token"], answer.json["refresh_token"]
    return _Tokens(access, refresh, asked_for, key_id_of(access))
