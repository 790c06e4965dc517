"""A conversation in one room: connected for as long as the session lasts, and again after every break."""

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import NoReturn

from scripts.support.admin.text import shown
from scripts.support.chat.backoff import Backoff, announced_pause
from scripts.support.chat.input_lines import InputLines
from scripts.support.chat.rooms import history
from scripts.support.chat.session import SERVER_ERRORS, NoAnswer, Refused, Session, SessionOver, seconds_of
from scripts.support.chat.transcript import Fill, Later, Leave, Say, Send, Step, Transcript
from scripts.support.websocket_client import HandshakeRefused, Socket, SocketClosed, connect
from shared.tasks import together

SESSION_ENDED = 4401  # the close code; the session may have been prolonged meanwhile, or not
LAST_SECONDS = 30.0  # for the last answers, once the input has ended
RETRY_SECONDS = 1.0  # when chat is busy, or away
PACE_SECONDS = 0.025  # between two frames: the gateway closes on a client with more than 50 in a second
PASSING_STATUSES = frozenset({401, 408, 429})  # of a handshake: with another ticket, or later, it may work


class Left(Exception):
    """The conversation is over, and why; no message when all has been said."""


class Talk:
    """Shows what happens in a room, and posts what is typed."""

    def __init__(
        self,
        session: Session,
        room_id: str,
        transcript: Transcript,
        lines: InputLines,
        show: Callable[[str], None],
    ) -> None:
        self._session = session
        self._room_id = room_id
        self._transcript = transcript
        self._lines = lines
        self._show = show
        self._backoff = Backoff()
        self._answered = asyncio.Event()  # all that was typed so far
        self._settled = asyncio.Event()  # it has come back, too
        self._ends_at: float | None = None  # by the monotonic clock, once the input has ended
        self._may_renew = True  # not twice without a conversation between
        self._sent_at = 0.0

    async def run(self) -> NoReturn:
        """To the end: raises Left, SessionOver, Refused."""
        while True:
            try:
                async with connect(await self._session.ticket_url()) as socket:
                    await self._talk(socket)
            except (SocketClosed, HandshakeRefused, NoAnswer, OSError) as broken:
                await self._recover(broken)

    async def _recover(self, broken: Exception) -> None:
        """Wait until it is time to connect again. Raises Left, SessionOver when it never is."""
        pause = await self._pause_after(broken)
        if self._ends_at is not None and time.monotonic() + pause > self._ends_at:
            raise Left(self._what_is_left())
        seen = self._transcript.seen or 0
        self._show(f"* {_words(broken)}; again in {pause:.1f} s, from message {seen} on")
        await asyncio.sleep(pause)

    async def _pause_after(self, broken: Exception) -> float:
        """Seconds. Raises Left, SessionOver."""
        match broken:
            case SocketClosed(code=code, reason=reason):
                if code == SESSION_ENDED:
                    await self._renew(broken)
                announced = announced_pause(code, reason)
                return self._backoff.next() if announced is None else announced
            case HandshakeRefused(status=status) if status < SERVER_ERRORS and status not in PASSING_STATUSES:
                raise Left(f"the gateway refuses: {_words(broken)}") from broken
            case HandshakeRefused(headers=headers):
                return self._backoff.next(seconds_of(headers.get("retry-after", "")))
            case NoAnswer(least_seconds=least):
                return self._backoff.next(least)
        return self._backoff.next()

    async def _renew(self, closed: SocketClosed) -> None:
        """The session has ended, it is said. It has not, if its refresh token is still good."""
        if not self._may_renew:
            raise SessionOver from closed
        self._may_renew = False
        with suppress(NoAnswer):  # whoever gives out tickets will know
            await self._session.refresh()

    async def _talk(self, socket: Socket) -> None:
        await self._do(socket, self._transcript.opened())
        await together(self._hear(socket), self._speak(socket))

    async def _hear(self, socket: Socket) -> NoReturn:
        while True:
            await self._do(socket, self._taken_in(await socket.receive()))
            if self._transcript.is_subscribed:
                self._backoff.reset()
                self._may_renew = True
            if not self._transcript.unanswered:
                self._answered.set()
            if self._transcript.is_settled:
                self._settled.set()

    def _taken_in(self, message: str) -> Sequence[Step]:
        try:
            return self._transcript.heard(message)
        except ValueError as wrong:
            raise Left("the gateway does not speak as agreed") from wrong

    async def _speak(self, socket: Socket) -> NoReturn:
        while (line := await self._lines.next()) is not None:
            await self._do(socket, self._transcript.typed(line))
            if self._transcript.unanswered:
                self._answered.clear()
                self._settled.clear()
                await self._answered.wait()
        self._ends_at = self._ends_at or time.monotonic() + LAST_SECONDS
        try:
            async with asyncio.timeout(self._ends_at - time.monotonic()):
                await self._settled.wait()
        except TimeoutError:
            raise Left(self._what_is_left()) from None
        raise Left

    async def _do(self, socket: Socket, steps: Iterable[Step]) -> None:
        for step in steps:
            match step:
                case Say():
                    self._show(step.line)
                case Send():
                    await self._pace()
                    await socket.send(json.dumps(step.frame))
                case Fill():
                    await self._fill(step)
                case Later():
                    await asyncio.sleep(RETRY_SECONDS)
                    await self._do(socket, self._transcript.again())
                case Leave():
                    raise Left(step.why)

    async def _fill(self, gap: Fill) -> None:
        try:
            async for messages in history(self._session, self._room_id, gap.after, gap.upto):
                for line in self._transcript.read(messages):
                    self._show(line)
        except (NoAnswer, Refused) as failure:
            self._show(f"! messages {gap.after + 1} to {gap.upto} cannot all be shown: {_words(failure)}")

    async def _pace(self) -> None:
        await asyncio.sleep(self._sent_at + PACE_SECONDS - time.monotonic())
        self._sent_at = time.monotonic()

    def _what_is_left(self) -> str:
        """What has to be said when there was not enough time; nothing when all has been posted."""
        count = len(self._transcript.unanswered)
        return f"{count} messages may not have been posted" if count else ""


def _words(failure: Exception) -> str:
    if isinstance(failure, SocketClosed):
        return f"disconnected ({failure.code})"
    if isinstance(failure, OSError):  # TimeoutError is one
        return f"no connection: {os.strerror(failure.errno) if failure.errno else 'no answer'}"
    return shown(str(failure))
