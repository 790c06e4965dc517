"""The table of the operator's commands."""

import argparse
import asyncio
import logging
import sys
from io import TextIOWrapper
from typing import cast

from scripts.support.admin import accounts, audit, clients, keys, users
from scripts.support.admin.command import Commands
from scripts.support.admin.tools import opened_tools
from scripts.support.failures import SetupError, exit_status
from scripts.support.settings import read_settings
from shared.config import Environment
from shared.errors import Conflict, Invalid, NotFound

MODULES = (accounts, users, audit, clients, keys)
WRONG_USAGE = 2  # as argparse has it


def main() -> int:
    """Run one command; what goes wrong is said once, in the last line."""
    logging.disable()
    cast("TextIOWrapper", sys.stdout).reconfigure(errors="backslashreplace")  # what a terminal cannot show
    parser = _parser()
    if not sys.argv[1:]:
        parser.print_help(sys.stderr)
        return WRONG_USAGE
    arguments = parser.parse_args()
    try:
        asyncio.run(_run(arguments, read_settings()))
    except Invalid as invalid:
        faults = "; ".join(f"{each.field}: {each.detail}" for each in invalid.fields)
        raise SetupError(faults or invalid.detail) from None
    except (Conflict, NotFound) as refused:
        raise SetupError(refused.detail) from None
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/admin", description="Accounts and keys, for the operator. COMMAND --help tells more."
    )
    commands = Commands(parser)
    for module in MODULES:
        module.add_to(commands)
    return parser


async def _run(arguments: argparse.Namespace, environment: Environment) -> None:
    async with opened_tools(environment) as tools:
        await arguments.run(tools, arguments)


if __name__ == "__main__":
    sys.exit(exit_status("admin", main))
