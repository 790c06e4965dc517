"""Tokens that expire while somebody talks, and a gateway that is busy, gone, or says no."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from scripts.support.chat.rooms import AmbiguousName, Room, find_room, history
from scripts.support.chat.session import NoAnswer, Refused, Session, SessionOver
from shared.config import LOOPBACK
from shared.http.messages import Request, Response, json_response
from shared.http.server import serve

SECONDS = 10.0
SAID = 7  # messages in the room's history


class Gateway:
    """Takes the newest access token and refresh token only, or gives everybody the one `answer`."""

    def __init__(self) -> None:
        self.access, self.refresh = 1, 1  # the numbers of these
        self.has_ended = False
        self.answer: Response | None = None
        self.rooms: list[str] = []
        self.asked: list[str] = []

    async def __call__(self, request: Request) -> Response:
        self.asked.append(request.target)
        if self.answer is not None:
            return self.answer
        if request.path == "/auth/login":
            return self._tokens()
        if request.path == "/auth/refresh":
            return self._refresh(msgspec.json.decode(await request.body.read(1000)))
        if request.headers.get("authorization") != f"Bearer access-{self.access}":
            return json_response(401, {})
        return json_response(200, self._document(request))

    def _refresh(self, form: Any) -> Response:
        if self.has_ended or form != {"refresh_token": f"refresh-{self.refresh}"}:
            return json_response(401, {"detail": "The refresh token is not valid (any more)."})
        self.refresh += 1
        return self._tokens()

    def _tokens(self) -> Response:
        tokens = {"access_token": f"access-{self.access}", "refresh_token": f"refresh-{self.refresh}"}
        return json_response(200, tokens)

    def _document(self, request: Request) -> object:
        query = dict(each.split("=") for each in request.target.partition("?")[2].split("&") if each)
        first = int(query.get("cursor", 0))
        if request.path == "/chat/rooms":
            items = [
                {"room_id": name, "name": name, "private": False} for name in self.rooms[first : first + 1]
            ]
            return {"items": items, "next": str(first + 1) if first + 1 < len(self.rooms) else None}
        after = int(query["after"])
        numbers = range(after + 1, min(SAID, after + 3) + 1)  # a page has three, whatever is asked for
        return {"items": [{"seq": number} for number in numbers]}

    def expire(self) -> None:
        """The access token; the session goes on."""
        self.access += 1


@asynccontextmanager
async def logged_in() -> AsyncIterator[tuple[Gateway, Session]]:
    gateway = Gateway()
    async with serve(gateway, LOOPBACK, 0) as server, asyncio.timeout(SECONDS):
        session = Session(f"http://{LOOPBACK}:{server.port}")
        try:
            await session.log_in("ada@example.com", "password")
            yield gateway, session
        finally:
            await session.close()


async def test_an_expired_token_is_refreshed_and_the_call_made_again() -> None:
    async with logged_in() as (gateway, session):
        for _ in range(2):  # the second time with the refresh token that came the first time
            gateway.expire()
            gateway.asked.clear()
            assert (await session.ask("GET", "/chat/rooms"))["items"] == []
            assert [target.partition("?")[0] for target in gateway.asked] == [
                "/chat/rooms",
                "/auth/refresh",
                "/chat/rooms",
            ]


async def test_a_session_that_has_ended_is_over() -> None:
    async with logged_in() as (gateway, session):
        gateway.expire()
        gateway.has_ended = True
        with pytest.raises(SessionOver):
            await session.ask("GET", "/chat/rooms")


@pytest.mark.parametrize(("status", "fields"), [(429, [("Retry-After", "7")]), (503, [("Retry-After", "7")])])
async def test_a_busy_gateway_says_how_long_to_wait(status: int, fields: list[tuple[str, str]]) -> None:
    async with logged_in() as (gateway, session):
        gateway.answer = json_response(status, {"detail": "Later."}, fields)
        with pytest.raises(NoAnswer, match="Later") as busy:
            await session.ask("GET", "/chat/rooms")
        assert busy.value.least_seconds == 7.0


async def test_a_refusal_says_why() -> None:
    async with logged_in() as (gateway, session):
        problem = {"type": "urn:plainstack:problem:not-found", "detail": "There is no such room."}
        gateway.answer = json_response(404, problem)
        with pytest.raises(Refused, match="no such room") as refused:
            await session.ask("GET", "/chat/rooms")
        assert (refused.value.status, refused.value.code) == (404, "not-found")


async def test_nobody_at_home_is_no_answer() -> None:
    with pytest.raises(NoAnswer):
        await Session(f"http://{LOOPBACK}:1").log_in("ada@example.com", "password")


async def test_a_room_is_found_on_any_page_of_the_list_unless_two_are_called_so() -> None:
    async with logged_in() as (gateway, session):
        gateway.rooms = ["tea", "coffee", "milk", "milk"]
        assert await find_room(session, "coffee") == Room("coffee", "coffee", is_private=False)
        assert await find_room(session, "water") is None
        with pytest.raises(AmbiguousName, match="2 rooms"):
            await find_room(session, "milk")


@pytest.mark.parametrize(("after", "upto", "pages"), [(0, 7, 3), (5, 7, 1), (0, 99, 3), (7, 7, 0)])
async def test_the_history_comes_page_by_page(after: int, upto: int, pages: int) -> None:
    async with logged_in() as (_, session):
        found = [page async for page in history(session, "room", after, upto)]
    assert [message["seq"] for page in found for message in page] == list(range(after + 1, SAID + 1))
    assert len(found) == pages
