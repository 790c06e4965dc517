"""`scripts/admin keys`: the keys that sign tokens."""

import argparse
from datetime import datetime

from scripts.support.admin.command import Commands
from scripts.support.admin.text import shown, table
from scripts.support.admin.tools import Tools
from services.auth.domain.keys import KeyState, StoredKey
from services.auth.service.keys import KeyList
from services.auth.signing_keys import PUBLISHED_AHEAD
from shared.auth.jwks import LIFETIME_SECONDS

AHEAD_MINUTES, CACHED_MINUTES = PUBLISHED_AHEAD.total_seconds() / 60, LIFETIME_SECONDS / 60
HEADS = ("KEY", "ALGORITHM", "STATE", "SIGNS FROM", "SIGNS UNTIL")

ROTATE = f"""\
Makes the next key, of SIGNING_ALGORITHM. It is published at once and signs {AHEAD_MINUTES:g} minutes later,
which is longer than any verifier keeps the JWK Set. From then on the old keys sign nothing; they stay
published until the last token that they have signed has expired."""
NOW = f"""\
the new key signs at once. Our gateways are told of it, and fetch what they do not know; verifiers of others,
which keep the JWK Set in a cache, may refuse the new tokens for up to {CACHED_MINUTES:g} minutes"""
REVOKE = """\
For a key that has leaked. It leaves the JWK Set, and every gateway refuses at once every token that it has
signed; refresh tokens are refused too, so whoever holds one has to log in again. If no other key may sign,
the one that is announced does from now on, or else a new one."""


def add_to(commands: Commands) -> None:
    """One group."""
    keys = commands.group("keys", "the keys that sign tokens", _list)
    keys.add("list", "list all keys, in the order in which they sign", _list)
    rotate = keys.add("rotate", "make the next key; the old ones retire", _rotate)
    rotate.description = ROTATE
    rotate.add_argument("--now", action="store_true", help=NOW)
    revoke = keys.add("revoke", "refuse every token that a key has signed", _revoke)
    revoke.description = REVOKE
    revoke.usage = "scripts/admin keys revoke [-h] [--] KEY"
    revoke.add_argument("key_id", metavar="KEY", help="its id; put -- before one that begins with a -")


async def _list(tools: Tools, arguments: argparse.Namespace) -> None:
    await _print_keys(tools)


async def _rotate(tools: Tools, arguments: argparse.Namespace) -> None:
    key = await tools.parts.key_service.rotate(at_once=arguments.now)
    signs = "now" if arguments.now else f"from {_time(key.signs_from)}"
    print(f"{key.key_id} has been made; it is published now and signs {signs}\n")
    await _print_keys(tools)


async def _revoke(tools: Tools, arguments: argparse.Namespace) -> None:
    was = await tools.parts.key_service.revoke(arguments.key_id)
    print(
        f"{shown(arguments.key_id)}, which was {was}, is revoked; no gateway takes a token of it any more\n"
    )
    await _print_keys(tools)


async def _print_keys(tools: Tools) -> None:
    listed = await tools.parts.key_service.keys()
    print(table(HEADS, [_row(key, listed) for key in listed.keys]))


def _row(key: StoredKey, listed: KeyList) -> tuple[str, ...]:
    signs = (_time(key.signs_from), _time(key.signs_until))
    return (key.key_id, key.algorithm, _state(key, listed), *signs)


def _state(key: StoredKey, listed: KeyList) -> str:
    match key.state_at(listed.now):
        case KeyState.SIGNING if key != listed.signing:
            return (
                "able to sign"  # for auth servers that are set to its algorithm, or should the other one go
            )
        case KeyState.RETIRING:
            return f"retiring until {_time(key.published_until)}"
        case KeyState.RETIRED:
            return f"retired {_time(key.published_until)}"
        case KeyState.REVOKED:
            return f"revoked {_time(key.revoked_at)}"
        case state:
            return state.value


def _time(moment: datetime | None) -> str:
    """RFC 3339, to the second; the database's connections speak UTC."""
    return "" if moment is None else moment.isoformat(timespec="seconds").replace("+00:00", "Z")
