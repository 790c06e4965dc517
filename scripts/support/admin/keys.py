"""`scripts/admin keys`: the keys that sign tokens."""

import argparse
from datetime import datetime

from scripts.support.admin.command import Commands
from scripts.support.admin.text import shown, table, time
from scripts.support.admin.tools import Tools
from scripts.support.failures import SetupError
from services.auth.domain.keys import KeyState, StoredKey
from services.auth.key_maker import GENERATE
from services.auth.signing_keys import PUBLISHED_AHEAD
from shared.auth.jwks import LIFETIME_SECONDS

AHEAD_MINUTES, CACHED_MINUTES = PUBLISHED_AHEAD.total_seconds() / 60, LIFETIME_SECONDS / 60
SEVERAL = """
Where several keys may sign, an auth server takes the newest of its SIGNING_ALGORITHM, if there is one."""
HEADS = ("KEY", "ALGORITHM", "STATE", "SIGNS FROM", "SIGNS UNTIL")

ROTATE = f"""\
Makes the next key. It is published at once and signs {AHEAD_MINUTES:g} minutes later, which is longer than
any verifier keeps the JWK Set. From then on the old keys sign nothing; they stay published until the last
token that they have signed has expired."""
ALGORITHM = """\
default: SIGNING_ALGORITHM where it is set, or else that of the newest key; auth servers whose own setting is
another one make a key of that beside it"""
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
    rotate.add_argument("--algorithm", choices=tuple(GENERATE), help=ALGORITHM)
    revoke = keys.add("revoke", "refuse every token that a key has signed", _revoke)
    revoke.description = REVOKE
    revoke.usage = "scripts/admin keys revoke [-h] [--] KEY"
    revoke.add_argument("key_id", metavar="KEY", help="its id; put -- before one that begins with a -")


async def _list(tools: Tools, arguments: argparse.Namespace) -> None:
    await _print_keys(tools)


async def _rotate(tools: Tools, arguments: argparse.Namespace) -> None:
    key = await tools.auth.keys.rotate(_algorithm(tools, arguments), at_once=arguments.now)
    signs = "now" if arguments.now else f"from {time(key.signs_from)}"
    print(f"{key.key_id} has been made; it is published now and signs {signs}\n")
    await _print_keys(tools)


def _algorithm(tools: Tools, arguments: argparse.Namespace) -> str | None:
    """None for the one in use: the servers' setting may not be ours. SetupError where nobody accepts it."""
    accepted = tools.auth.ground.settings.tokens.algorithms
    algorithm: str = arguments.algorithm or tools.environment.text("SIGNING_ALGORITHM", "")
    if algorithm and algorithm not in accepted:
        raise SetupError(f"{algorithm} is not one of TOKEN_ALGORITHMS")
    return algorithm or None


async def _revoke(tools: Tools, arguments: argparse.Namespace) -> None:
    was = await tools.auth.keys.revoke(arguments.key_id)
    print(
        f"{shown(arguments.key_id)}, which was {was}, is revoked; no gateway takes a token of it any more\n"
    )
    await _print_keys(tools)


async def _print_keys(tools: Tools) -> None:
    listed = await tools.auth.keys.keys()
    print(table(HEADS, [_row(key, listed.now) for key in listed.keys]))
    if sum(key.signs_at(listed.now) for key in listed.keys) > 1:
        print(SEVERAL)


def _row(key: StoredKey, now: datetime) -> tuple[str, ...]:
    return (key.key_id, key.algorithm, _state(key, now), time(key.signs_from), time(key.signs_until))


def _state(key: StoredKey, now: datetime) -> str:
    match key.state_at(now):
        case KeyState.RETIRING:
            return f"retiring until {time(key.published_until)}"
        case KeyState.RETIRED:
            return f"retired {time(key.published_until)}"
        case KeyState.REVOKED:
            return f"revoked {time(key.revoked_at)}"
        case state:
            return state.value
