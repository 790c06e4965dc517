"""`./scripts/load orders`: reads the command line, plays, and prints the report."""

import argparse
import asyncio
import logging
import sys
import time

from scripts.support.accounts import admin_account
from scripts.support.failures import SetupError, exit_status
from scripts.support.load.patient_client import GaveUp
from scripts.support.load.play import Plan, play
from scripts.support.load.users import Refused
from scripts.support.settings import read_settings
from shared.config import LOOPBACK
from shared.currency import currency_of

DESCRIPTION = """\
Plays clients that order, against the running system: PORT_BASE tells where that is. They wait for the end or
ask for it, want what is out of stock or what they cannot pay, expect another total, cancel, ask twice under
one key. What gets no answer is asked again, so the system may be killed meanwhile. In the end every order is
asked for once more; exit status 1 when one is lost, not final, or not what its client had been told, or when
stock or money do not add up."""
EPILOG = "The admin is ADMIN_EMAIL with ADMIN_PASSWORD, or else an account made with ./scripts/admin."


def _main() -> int:
    arguments = _parser().parse_args()
    logging.disable()  # what goes wrong is in the report
    environment = read_settings()
    origin = f"http://{LOOPBACK}:{environment.port('gateway')}"
    plan = Plan(
        arguments.clients,
        arguments.orders if arguments.seconds is None else None,
        arguments.seconds,
        arguments.users,
        arguments.seed,
        currency=currency_of(environment),
    )
    print(f"{plan.clients} clients, seed {plan.seed}\n", flush=True)
    try:
        report = asyncio.run(play(origin, admin_account(environment, "load"), plan))
    except (GaveUp, Refused) as failure:
        raise SetupError(f"the shop cannot be opened: {failure}") from failure
    print(report)
    return 0 if report.is_clean else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./scripts/load", description=DESCRIPTION, epilog=EPILOG)
    names = parser.add_subparsers(dest="name", required=True, metavar="WHAT")
    orders = names.add_parser("orders", help="orders of every kind", description=DESCRIPTION, epilog=EPILOG)
    orders.add_argument("--clients", type=_count, default=50, help="how many play at once (50)")
    orders.add_argument("--orders", type=_count, default=1_000, help="how many in all (1000)")
    orders.add_argument("--seconds", type=_count, help="play for so long instead")
    orders.add_argument("--users", type=_count, default=8, help="accounts, which the clients share (8)")
    orders.add_argument("--seed", type=int, default=int(time.time()), help="plays the same scenes again")
    return parser


def _count(text: str) -> int:
    if (number := int(text)) < 1:
        raise ValueError
    return number


if __name__ == "__main__":
    sys.exit(exit_status("load", _main))
