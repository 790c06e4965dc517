"""`./scripts/chat`: reads the command line, logs in, finds the room and talks."""

import argparse
import asyncio
import getpass
import logging
import secrets
import sys
import warnings
from io import TextIOWrapper
from typing import cast

from scripts.support.admin.text import shown, table
from scripts.support.chat.input_lines import InputLines
from scripts.support.chat.rooms import AmbiguousName, Room, create_room, find_room, invite, list_rooms
from scripts.support.chat.session import NoAnswer, Refused, Session, SessionOver
from scripts.support.chat.talk import Left, Talk
from scripts.support.chat.transcript import Transcript
from scripts.support.failures import SetupError, exit_status
from scripts.support.settings import read_settings
from shared.config import LOOPBACK, Environment

DESCRIPTION = """\
Talks in a room. What is typed, or comes through a pipe, is posted line by line; what the others say is shown.
A connection that breaks is made again, and what was missed is shown then. The end of the input, or Ctrl-C,
ends it. Without --room: which rooms there are."""
EPILOG = """\
The password is asked for, or taken from CHAT_PASSWORD. PORT_BASE tells where the gateway is, unless --gateway
does. Of a line, [12] is the message's number in the room, * what happens there, ! what is wrong."""
INTERRUPTED = 130  # as shells have it for SIGINT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./scripts/chat", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("--email", required=True, help="who you are")
    parser.add_argument("--code", default="", help="the second factor's, if you have one")
    parser.add_argument("--room", metavar="NAME_OR_ID", help="where to talk")
    parser.add_argument("--create", action="store_true", help="make the room, if there is none of that name")
    parser.add_argument("--private", action="store_true", help="make it for members only")
    parser.add_argument("--invite", metavar="USER_ID", help="a new member for your room")
    parser.add_argument("--after", type=_number, metavar="N", help="the last message that you have seen")
    parser.add_argument("--gateway", metavar="URL", help="another than the local one, http or https")
    return parser


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"must be a message's number, not {text!r}")
    return int(text)


async def _run(origin: str, password: str, given: argparse.Namespace) -> None:
    session = Session(origin)
    try:
        await session.log_in(given.email, password, given.code)
        try:
            await _enter(session, given)
        finally:
            await _log_out(session)
    except NoAnswer as failure:
        raise SetupError(f"{origin} does not answer: {shown(str(failure))}") from failure
    except Refused as refused:
        raise SetupError(shown(refused.detail)) from refused
    except SessionOver as over:
        raise SetupError("your session has ended: log in again") from over
    except AmbiguousName as unclear:
        raise SetupError(str(unclear)) from unclear
    finally:
        await session.close()


def _origin(environment: Environment, gateway: str | None) -> str:
    default = f"http://{LOOPBACK}:{environment.port('gateway')}"
    given = Environment({"--gateway": gateway or ""}).url("--gateway", default, ("http", "https"))
    return given.rstrip("/")


def _password(environment: Environment) -> str:
    """CHAT_PASSWORD, or what the user types unseen. Raises SetupError where there is no terminal."""
    if password := environment.values.get("CHAT_PASSWORD"):
        return password
    with warnings.catch_warnings():
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            return getpass.getpass("Password: ")
        except (getpass.GetPassWarning, EOFError):
            raise SetupError("there is no terminal to ask for the password at: set CHAT_PASSWORD") from None


async def _log_out(session: Session) -> None:
    """However the conversation has ended; who has been logged out already need not be."""
    try:
        await session.log_out()
    except (NoAnswer, Refused, SessionOver):
        return


async def _enter(session: Session, given: argparse.Namespace) -> None:
    if given.room is None:
        _print_rooms(await list_rooms(session))
        return
    me = await session.ask("GET", "/auth/me")
    room = await _room(session, given)
    if given.invite:
        await invite(session, room, given.invite)
    print(
        f"* {shown(me['display_name'])} ({me['user_id']}) in {shown(room.name)} ({room.room_id})", flush=True
    )
    await _talk(session, Transcript(room.room_id, me["user_id"], secrets.token_hex(8), given.after), room)


async def _room(session: Session, given: argparse.Namespace) -> Room:
    if (room := await find_room(session, given.room)) is not None:
        return room
    if not given.create:
        raise SetupError("you know of no room of that name; --create makes one")
    return await create_room(session, given.room, is_private=given.private)


async def _talk(session: Session, transcript: Transcript, room: Room) -> None:
    lines = InputLines(sys.stdin.fileno())
    lines.start()
    try:
        await Talk(session, room.room_id, transcript, lines, _show).run()
    except Left as left:
        if str(left):
            raise SetupError(str(left)) from left
    finally:
        lines.stop()


def _print_rooms(rooms: list[Room]) -> None:
    rows = [(room.room_id, "members" if room.is_private else "everybody", room.name) for room in rooms]
    print(table(("ROOM", "FOR", "NAME"), rows))


def _show(line: str) -> None:
    print(line, flush=True)


def _main() -> int:
    parser = _parser()
    given = parser.parse_args()
    if given.room is None and (given.create or given.private or given.invite):
        parser.error("--create, --private and --invite need --room")
    logging.disable()  # what goes wrong is said in plain words
    cast("TextIOWrapper", sys.stdout).reconfigure(errors="backslashreplace")  # what a terminal cannot show
    environment = read_settings()
    try:
        origin, password = _origin(environment, given.gateway), _password(environment)
        asyncio.run(_run(origin, password, given))
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(exit_status("chat", _main))
