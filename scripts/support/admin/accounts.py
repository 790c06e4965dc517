"""`scripts/admin create-admin`."""

import argparse
import getpass
import sys

from scripts.support.admin.command import Commands
from scripts.support.admin.text import shown
from scripts.support.admin.tools import Tools
from scripts.support.failures import SetupError
from services.auth.domain.accounts import ADMIN, USER
from services.auth.service.accounts import NewAccount
from shared.config import Environment


def add_to(commands: Commands) -> None:
    """One command."""
    create = commands.add("create-admin", "create an account with the role admin", _create_admin)
    create.add_argument("email", nargs="?", help="default: ADMIN_EMAIL")
    create.add_argument("--name", default="Administrator", help="the display name")
    create.add_argument(
        "--password-stdin", action="store_true", help="read the password from standard input, one line"
    )


async def _create_admin(tools: Tools, arguments: argparse.Namespace) -> None:
    email = arguments.email or tools.environment.text("ADMIN_EMAIL")
    account = NewAccount(email, _password(arguments, tools.environment), arguments.name)
    user = await tools.auth.accounts.sign_up(account, (ADMIN, USER))
    print(f"created {shown(user.email)} ({user.user_id}) with the roles {', '.join(user.roles)}")


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
