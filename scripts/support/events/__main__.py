"""`./scripts/events VERB …`: reads the command line and does what it says."""

import argparse
import asyncio
import logging
import sys
from uuid import UUID

from scripts.support.events.letters import discard, list_letters, redrive, show_letter
from scripts.support.events.repairs import read_age, rebuild, replay, republish
from scripts.support.events.settings import read_events_settings
from scripts.support.events.waiting import lag
from scripts.support.failures import SetupError, exit_status
from shared.errors import ApplicationError, in_words

EPILOG = """\
Redrive and replay go through the service's inbox: what has had its effect has no second one, and they say how
many were new and how many had happened already. All may run while the services do. PostgreSQL must run; lag
and replay need the bus, too, and rebuild the product service."""


TAKES_IN, PUBLISHES = "order, inventory …", "product, order, inventory …"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./scripts/events",
        description="Looks after events: which are parked, which wait, and what to do about lost ones.",
        epilog=EPILOG,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    waiting = verbs.add_parser("lag", help="what waits, in outboxes and on the bus")
    waiting.set_defaults(work=lambda environment, _: lag(environment))

    listing = verbs.add_parser("list", help="dead letters")
    listing.add_argument("service", nargs="*", help="order, inventory …; all when none is named")
    listing.set_defaults(work=lambda environment, given: list_letters(environment, given.service))

    showing = verbs.add_parser("show", help="one dead letter, with its error and contents")
    showing.add_argument("service", help=TAKES_IN)
    showing.add_argument("id", type=UUID)
    showing.set_defaults(work=lambda environment, given: show_letter(environment, given.service, given.id))

    redriving = verbs.add_parser("redrive", help="try dead letters again")
    redriving.add_argument("service", help=TAKES_IN)
    redriving.add_argument("id", type=UUID, nargs="*", help="those to try; all when none is named")
    redriving.set_defaults(work=lambda environment, given: redrive(environment, given.service, given.id))

    discarding = verbs.add_parser("discard", help="throw dead letters away that can never be taken in")
    discarding.add_argument("service", help=TAKES_IN)
    discarding.add_argument("id", type=UUID, nargs="+")
    discarding.set_defaults(work=lambda environment, given: discard(environment, given.service, given.id))

    replaying = verbs.add_parser("replay", help="everything that the bus still has, once more")
    replaying.add_argument("service", help=TAKES_IN)
    replaying.set_defaults(work=lambda environment, given: replay(environment, given.service))

    text = "compare a service's copies of the catalogue with it, and mend those that are older or wrong"
    rebuilding = verbs.add_parser("rebuild", help=text, description=text)
    rebuilding.add_argument("service", help=TAKES_IN)
    rebuilding.set_defaults(work=lambda environment, given: rebuild(environment, given.service))

    again = verbs.add_parser("republish", help="publish again, to a broker that has lost what it had")
    again.add_argument("service", help=PUBLISHES)
    again.add_argument("--since", default="24h", metavar="AGE", help="how far back: 90m, 24h (24h)")
    again.set_defaults(
        work=lambda environment, given: republish(environment, given.service, read_age(given.since))
    )
    return parser


def _main() -> int:
    arguments = _parser().parse_args()
    logging.disable()  # what goes wrong is said once, in the last line
    try:
        status: int = asyncio.run(arguments.work(read_events_settings(), arguments))
    except ApplicationError as failure:
        raise SetupError(in_words(failure)) from failure
    return status


if __name__ == "__main__":
    sys.exit(exit_status("events", _main))
