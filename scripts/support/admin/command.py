"""What a command of the operator is: its name, its arguments, and what it does."""

import argparse
from collections.abc import Awaitable, Callable

from scripts.support.admin.tools import Tools

Run = Callable[[Tools, argparse.Namespace], Awaitable[None]]


class Commands:
    """The commands of one parser."""

    def __init__(self, parser: argparse.ArgumentParser, *, required: bool = True) -> None:
        self._parsers = parser.add_subparsers(required=required, metavar="COMMAND")

    def add(self, name: str, help_text: str, run: Run) -> argparse.ArgumentParser:
        """The command `name`, done by `run`; the caller adds its arguments to what is returned."""
        parser = self._parsers.add_parser(name, help=help_text, description=_sentence(help_text))
        parser.set_defaults(run=run)
        return parser

    def group(self, name: str, help_text: str, default: Run | None = None) -> "Commands":
        """Commands of two words, the first of which is `name`; alone, it does `default` if there is one."""
        parser = self._parsers.add_parser(name, help=help_text, description=_sentence(help_text))
        if default is not None:
            parser.set_defaults(run=default)
        return Commands(parser, required=default is None)


def _sentence(help_text: str) -> str:
    return f"{help_text[0].upper()}{help_text[1:]}."
