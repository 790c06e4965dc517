"""`scripts/admin users`: who has an account, who may use it, and as what."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address

from scripts.support.admin.command import Commands
from scripts.support.admin.text import shown, table
from scripts.support.admin.tools import Tools
from scripts.support.failures import SetupError
from services.auth.domain.accounts import ROLE, User
from shared.errors import Conflict

HEADS = ("USER", "EMAIL", "NAME", "ROLES", "LOCKED")


def add_to(commands: Commands) -> None:
    """One group; `grant` is short for `users role`."""
    users = commands.group("users", "list, lock and unlock accounts, and change their roles", default=_list)
    users.add("list", "list all accounts, oldest first", _list)

    lock = users.add("lock", "end all sessions of an account, and allow no login", _lock)
    lock.add_argument("email")
    lock.add_argument("--reason", default="", help="for the audit table")
    _add_force(lock)

    unlock = users.add("unlock", "allow logins again, and forget failed ones", _unlock)
    whom = unlock.add_mutually_exclusive_group(required=True)
    whom.add_argument("email", nargs="?")
    whom.add_argument("--address", type=_address, help="a client's: forget what was guessed from there")

    role = users.add("role", "give an account a role, or take it away", _role)
    role.add_argument("email")
    role.add_argument("role")
    role.add_argument("--remove", action="store_true", help="take it away")
    _add_force(role)

    disable_totp = users.add("disable-totp", "end the second factor of who has lost it", _disable_totp)
    disable_totp.add_argument("email")

    grant = commands.add("grant", "give an account one more role; short for users role", _grant)
    grant.add_argument("email")
    grant.add_argument("role")


async def _list(tools: Tools, arguments: argparse.Namespace) -> None:
    rows = [
        (str(user.user_id), user.email, user.display_name, ",".join(user.roles), "locked" * user.is_locked)
        for user in await tools.auth.accounts.users()
    ]
    print(table(HEADS, rows))


async def _lock(tools: Tools, arguments: argparse.Namespace) -> None:
    lock = tools.auth.administration.lock
    with _last_admin_explained():
        ended = await lock(arguments.email, arguments.reason, force=arguments.force)
    print(f"{shown(arguments.email)} is locked; sessions ended: {ended}")


async def _unlock(tools: Tools, arguments: argparse.Namespace) -> None:
    if arguments.address:
        print(f"{await tools.auth.administration.unlock_address(arguments.address)} is not locked")
        return
    await tools.auth.administration.unlock(arguments.email)
    print(f"{shown(arguments.email)} is not locked")


async def _disable_totp(tools: Tools, arguments: argparse.Namespace) -> None:
    user = await tools.auth.administration.account(arguments.email)
    is_removed = await tools.auth.second_factor.remove(user.user_id)
    print(f"{shown(user.email)} {'logs in without' if is_removed else 'had no'} second factor")


async def _role(tools: Tools, arguments: argparse.Namespace) -> None:
    if not arguments.remove:
        if arguments.force:
            raise SetupError("--force is for --remove: a role can always be given")
        return await _grant(tools, arguments)
    remove = tools.auth.administration.remove_role
    with _last_admin_explained():
        return _say_roles(await remove(arguments.email, arguments.role, force=arguments.force))


async def _grant(tools: Tools, arguments: argparse.Namespace) -> None:
    if not ROLE.fullmatch(arguments.role):
        raise SetupError(
            f"{arguments.role!r} is no name for a role: lower-case letters, digits, '.', '_' and '-'"
        )
    _say_roles(await tools.auth.administration.add_role(arguments.email, arguments.role))


def _say_roles(user: User) -> None:
    print(f"{shown(user.email)} has the roles {', '.join(user.roles) or '(none)'}")


def _add_force(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--force", action="store_true", help="also if it is the last admin")


def _address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be an IP address, not {text!r}") from None


@contextmanager
def _last_admin_explained() -> Iterator[None]:
    try:
        yield
    except Conflict as refused:
        raise SetupError(f"{refused.detail} --force does it all the same.") from None
