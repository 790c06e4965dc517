"""The commands of `./scripts/protos`."""

import argparse
import os
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from scripts.support.failures import BAD_SETTING, SetupError, exit_status
from scripts.support.protos.check import check
from scripts.support.protos.clients import LANGUAGES, generate_java
from scripts.support.protos.folder import Contracts, read_contracts
from scripts.support.protos.generate import generate_python
from scripts.support.protos.release import Refused, release
from scripts.support.protos.tools import check_tools

Command = Callable[[Contracts, argparse.Namespace], int]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise SetupError(f"{message} (--help tells more)", BAD_SETTING)


def main() -> int:
    """Run one command."""
    arguments = _parser().parse_args()
    contracts = read_contracts(arguments.folder)
    check_tools()
    command: Command = arguments.run
    return command(contracts, arguments)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="scripts/protos")
    parser.add_argument("--folder", type=_path, default=Path("protos"))
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("check").set_defaults(run=_check)
    generate = commands.add_parser("generate")
    generate.add_argument("into", type=_path, metavar="DIR")
    generate.set_defaults(run=_generate)
    releasing = commands.add_parser("release")
    releasing.add_argument("version", metavar="X.Y.Z")
    releasing.set_defaults(run=_release)
    clients = commands.add_parser("clients")
    clients.add_argument("language", choices=LANGUAGES)
    clients.add_argument("into", type=_path, metavar="DIR")
    clients.set_defaults(run=_clients)
    return parser


def _path(text: str) -> Path:
    """Relative to where the caller stood, before the script changed into the checkout."""
    return Path(os.environ.get("CALLED_FROM", ""), text)


def _check(contracts: Contracts, _: argparse.Namespace) -> int:
    faults = check(contracts)
    _complain(faults)
    if not faults:
        print(f"protos: {contracts.package} {contracts.version} is what the contracts say")
    return 1 if faults else 0


def _generate(contracts: Contracts, arguments: argparse.Namespace) -> int:
    arguments.into.mkdir(parents=True, exist_ok=True)
    generate_python(contracts, arguments.into)
    return 0


def _release(contracts: Contracts, arguments: argparse.Namespace) -> int:
    try:
        files, changes = release(contracts, arguments.version, datetime.now(UTC).date())
    except Refused as refused:
        _complain(refused.faults)
        raise
    _complain(f"breaks: {finding}" for finding in changes.breaks)
    print(f"protos: {arguments.version} is released; these belong into one commit:")
    for path in files:
        print(f"  {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")
    return 0


def _clients(contracts: Contracts, arguments: argparse.Namespace) -> int:
    arguments.into.mkdir(parents=True, exist_ok=True)
    if not generate_java(contracts, arguments.into):
        _complain(["only messages are made: for gRPC stubs, install Maven (mvn) and call this again"])
    return 0


def _complain(faults: Iterable[str]) -> None:
    for fault in faults:
        print(f"protos: {fault}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(exit_status("protos", main))
