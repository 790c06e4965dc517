"""The operator's commands for accounts, straight on the auth server's database.

The gateways hear of what is changed here through the auth server: it sends on what it finds unsent.
"""

import argparse
import asyncio
import getpass
import logging
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from auth_server import MIGRATIONS, NAME, Parts
from scripts.support.failures import SetupError, exit_status
from scripts.support.opened_database import opened_database
from scripts.support.settings import read_settings
from services.auth.domain.accounts import ADMIN, ROLE, USER, User
from services.auth.domain.revocations import Revocation
from services.auth.passwords import BcryptPasswords
from services.auth.repository.revocations import PostgresRevocationRepository
from services.auth.service.accounts import AccountService, NewAccount
from services.auth.settings import AuthSettings
from shared.config import Environment
from shared.errors import Conflict, Invalid, NotFound


def main() -> int:
    """Run one command; what goes wrong is said once, in the last line."""
    logging.disable()
    arguments = _parser().parse_args()
    environment = read_settings()
    try:
        return asyncio.run(_run(arguments, environment))
    except Invalid as invalid:
        raise SetupError("; ".join(f"{each.field}: {each.detail}" for each in invalid.fields)) from None
    except (Conflict, NotFound) as refused:
        raise SetupError(refused.detail) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/admin", description="Accounts, for the operator.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    create = commands.add_parser("create-admin", help="create an account with the role admin")
    create.add_argument("email", nargs="?", help="default: ADMIN_EMAIL")
    create.add_argument("--name", default="Administrator", help="the display name")
    create.add_argument(
        "--password-stdin", action="store_true", help="read the password from standard input, one line"
    )
    commands.add_parser("users", help="list all accounts")
    grant = commands.add_parser("grant", help="give an account one more role")
    grant.add_argument("email")
    grant.add_argument("role")
    return parser


async def _run(arguments: argparse.Namespace, environment: Environment) -> int:
    async with _parts(environment) as parts:
        match arguments.command:
            case "create-admin":
                await _create_admin(parts.accounts, arguments, environment)
            case "users":
                _print_users(await parts.accounts.users())
            case "grant":
                await _grant(parts.accounts, arguments.email, arguments.role)
    return 0


async def _create_admin(
    accounts: AccountService, arguments: argparse.Namespace, environment: Environment
) -> None:
    email = arguments.email or environment.text("ADMIN_EMAIL")
    account = NewAccount(email, _password(arguments, environment), arguments.name)
    user = await accounts.sign_up(account, (ADMIN, USER))
    print(f"created {user.email} ({user.user_id}) with the roles {', '.join(user.roles)}")


async def _grant(accounts: AccountService, email: str, role: str) -> None:
    if not ROLE.fullmatch(role):
        raise SetupError(f"{role!r} is no name for a role: lower-case letters, digits, '.', '_' and '-'")
    user = await accounts.grant(email, role)
    print(f"{user.email} has the roles {', '.join(user.roles)}")


def _password(arguments: argparse.Namespace, environment: Environment) -> str:
    """From standard input, from ADMIN_PASSWORD, or asked for twice at the terminal."""
    if arguments.password_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if password := environment.values.get("ADMIN_PASSWORD"):
        return password
    if not sys.stdin.isatty():
        raise SetupError("no password: use --password-stdin, or set ADMIN_PASSWORD")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != password:
        raise SetupError("the two passwords differ")
    return password


def _print_users(users: Sequence[User]) -> None:
    for user in users:
        locked = "  locked" if user.is_locked else ""
        print(f"{user.user_id}  {user.email}  {user.display_name}  {','.join(user.roles)}{locked}")


class _LeftToTheServer:
    """The domain's Revocations: the database has them, and the auth server sends what is unsent."""

    async def publish(self, revocations: Sequence[Revocation]) -> None:
        """Nothing to do here."""


@asynccontextmanager
async def _parts(environment: Environment) -> AsyncIterator[Parts]:
    settings = AuthSettings.read(environment)
    passwords = BcryptPasswords(settings.bcrypt_cost)
    async with opened_database(environment, NAME, MIGRATIONS) as database:
        revocations = PostgresRevocationRepository(database, settings.revocation_lifetime)
        yield Parts(database, settings, passwords, revocations, _LeftToTheServer(), actor="operator")


if __name__ == "__main__":
    sys.exit(exit_status("admin", main))
