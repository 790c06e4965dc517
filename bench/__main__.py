"""`./scripts/bench NAME`: runs one benchmark and prints its table."""

import argparse
import sys

from bench.events import measure_events
from bench.flood import FloodPlan
from bench.gateway import measure_gateway
from bench.guessing import measure_guessing
from bench.logins import measure_logins
from bench.orders import measure_orders
from bench.websocket import measure_websocket
from scripts.support.failures import exit_status
from scripts.support.settings import read_settings


def main() -> int:
    """Parse the arguments and measure."""
    arguments = _parser().parse_args()
    match arguments.name:
        case "gateway":
            return measure_gateway(arguments.rounds, arguments.seconds)
        case "logins":
            return measure_logins(FloodPlan(arguments.clients, arguments.seconds, not arguments.impatient))
        case "events":
            return measure_events(arguments.count)
        case "orders":
            return measure_orders(arguments.count)
        case "websocket":
            return measure_websocket(arguments.connections, arguments.subscribers, arguments.seconds)
        case _:
            return measure_guessing(arguments.tries, read_settings())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description="Measures beside a peer or a control, always in one run."
    )
    names = parser.add_subparsers(dest="name", required=True, metavar="NAME")

    gateway = names.add_parser("gateway", help="requests per second beside nginx")
    gateway.add_argument("--rounds", type=_count, default=5, help="how often each side has its turn (5)")
    gateway.add_argument("--seconds", type=_count, default=4, help="how long a turn takes (4)")

    logins = names.add_parser("logins", help="what others notice of logins at full speed")
    logins.add_argument("--seconds", type=_count, default=20, help="how long the flood lasts (20)")
    logins.add_argument("--clients", type=_count, default=100, help="how many log in at once (100)")
    logins.add_argument("--impatient", action="store_true", help="ask again at once after a 503")

    events = names.add_parser("events", help="from an outbox to another service's copies, on both transports")
    events.add_argument("--count", type=_count, default=10_000, help="changes that come at once (10000)")

    orders = names.add_parser("orders", help="how long an order takes, how many a second, how many flushes")
    orders.add_argument("--count", type=_count, default=300, help="orders by each number of clients (300)")

    sockets = names.add_parser("websocket", help="sockets, round trips and one room beside `websockets`")
    sockets.add_argument("--connections", type=_count, default=10_000, help="that say nothing (10000)")
    sockets.add_argument("--subscribers", type=_count, default=2_000, help="of one room (2000)")
    sockets.add_argument("--seconds", type=_count, default=4, help="how long each step takes (4)")

    guessing = names.add_parser("guessing", help="whether a refusal's time tells that an account exists")
    guessing.add_argument("--tries", type=_count, default=300, help="guesses at each kind of account (300)")
    return parser


def _count(text: str) -> int:
    if (number := int(text)) < 1:
        raise ValueError
    return number


if __name__ == "__main__":
    sys.exit(exit_status("bench", main))
