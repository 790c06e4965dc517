"""`./scripts/saga VERB …`: reads the command line and does what it says."""

import argparse
import asyncio
import logging
import re
import sys
from io import TextIOWrapper
from typing import cast

from scripts.support.failures import exit_status
from scripts.support.saga.hurrying import retry
from scripts.support.saga.listing import list_sagas
from scripts.support.saga.story import show
from scripts.support.settings import read_settings
from services.order.service.orchestrator import STUCK_SECONDS

EPILOG = f"""\
An order is named by its identifier, or by as much of its beginning as no other has. A saga is stuck when it
has been waiting for one answer for {STUCK_SECONDS:g} seconds: it is tried again and again all the same,
and goes on once the reason is gone. PostgreSQL must run; the services need not."""
LISTED = 20


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./scripts/saga",
        description="Shows what becomes of orders, step by step, and hurries those that wait.",
        epilog=EPILOG,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    listing = verbs.add_parser("list", help="the sagas that run, those that have waited longest first")
    listing.add_argument("--stuck", action="store_true", help="only those that are stuck")
    listing.add_argument(
        "--all", action="store_true", help="and those that have ended, the newest orders first"
    )
    listing.add_argument("--limit", type=_count, default=LISTED, metavar="N", help=f"of each ({LISTED})")
    listing.set_defaults(
        work=lambda environment, given: list_sagas(
            environment, given.limit, stuck=given.stuck, with_ended=given.all
        )
    )

    showing = verbs.add_parser("show", help="an order: its steps, what comes next, the events that went out")
    showing.add_argument("order", metavar="ORDER")
    showing.set_defaults(work=lambda environment, given: show(environment, given.order))

    retrying = verbs.add_parser("retry", help="what comes next is due now, whatever pause there would be")
    retrying.add_argument("order", metavar="ORDER")
    retrying.set_defaults(work=lambda environment, given: retry(environment, given.order))
    return parser


def _count(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,5}", text):
        raise argparse.ArgumentTypeError(f"must be a number from 1 to 999999, not {text!r}")
    return int(text)


def _main() -> int:
    arguments = _parser().parse_args()
    logging.disable()  # what goes wrong is said once, in the last line
    cast("TextIOWrapper", sys.stdout).reconfigure(errors="backslashreplace")  # what a terminal cannot show
    status: int = asyncio.run(arguments.work(read_settings(), arguments))
    return status


if __name__ == "__main__":
    sys.exit(exit_status("saga", _main))
