"""Orders without pause while processes die at random, and what must be true when all is quiet again.

On a system of its own. Every few seconds somebody is killed (kill -9): a service, of which order has two
processes or more, or an engine; or it is frozen, and goes on much later. Or a crash point of chance is armed,
and whoever comes by dies in the middle of what it is doing. Afterwards every order is final, what clients
were told is still true, and orders, money and goods add up. Exit status 0 if so, 1 if not.

With --chat clients talk over WebSockets instead, at two gateways, which are killed, too; afterwards everybody
has heard everything, in order, once.
"""

import argparse
import asyncio
import logging
import math
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from scripts.support.accounts import Account
from scripts.support.failures import SetupError, exit_status
from scripts.support.invariants.check import check
from scripts.support.kafka import make_ready as make_kafka_ready
from scripts.support.load.patient_client import GaveUp
from scripts.support.load.play import Control, Plan, play
from scripts.support.load.report import Report
from scripts.support.load.users import Refused
from shared.tasks import background
from tests.e2e import chat_storm
from tests.e2e.crash_points import CrashPoints
from tests.e2e.event_storm import use_kafka
from tests.e2e.fate import Fate
from tests.e2e.replicas import keep_replicas, share_requests
from tests.e2e.rest import in_words, wait_for_rest
from tests.e2e.system import ADMIN_EMAIL, ADMIN_PASSWORD, CHEAP_PASSWORDS, System, procfile_of
from tests.waiting import eventually

PROCESSES = ("postgres", "valkey", "auth", "product", "inventory", "payment", "order", "chat", "gateway")
VICTIMS = ("product.1", "inventory.1", "payment.1", "postgres-server", "valkey-server")
REPLICATED = "order"
SHARES = {"none": 0.0, "mixed": 0.4, "only": 1.0}  # of the deaths, at crash points
PATIENCE_SECONDS = 300.0  # of clients: how long they wait is reported, and is no fault
REST_SECONDS = 120.0  # a Kafka that was killed takes its time, and so do members it has not missed yet
LOOK_SECONDS = 5.0
SHOP_SECONDS = 60.0  # to open it
ANY_AGE = 86_400.0  # of orders that are not final: while the storm blows, they may be as old as they like
POLL_SECONDS = 0.05
CHAT_SECONDS = 60.0


@dataclass(frozen=True)
class Storm:
    """Clients play `plan` while somebody dies `every` so many seconds, a `share` of them at crash points."""

    plan: Plan
    every: float = 2.0
    share: float = SHARES["mixed"]
    processes: int = 2  # of order
    kafka: bool = False

    @property
    def victims(self) -> Sequence[str]:
        """Whoever may be killed, by the name of the record."""
        replicated = [f"{REPLICATED}.{number + 1}" for number in range(self.processes)]
        return (*VICTIMS, *replicated, *(["kafka-server"] if self.kafka else []))


@dataclass
class Books:
    """What they have shown while the storm was blowing."""

    looks: int = 0
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        read = f"books read {self.looks} times meanwhile: {len(self.faults)} faults"
        return "\n".join([read, *self.faults])


def new_system(folder: Path, storm: Storm, points: CrashPoints) -> System:
    """Not running yet."""
    processes = (*PROCESSES, "kafka") if storm.kafka else PROCESSES
    procfile = procfile_of(processes, folder)
    keep_replicas(Path(procfile["PROCFILE"]), REPLICATED, storm.processes)
    system = System(folder / "home", {**CHEAP_PASSWORDS, **points.setting, **procfile})
    share_requests(system, REPLICATED, storm.processes)
    if storm.kafka:
        use_kafka(system)
    return system


async def blow(system: System, fate: Fate, storm: Storm, books: Books) -> Report:
    """Until the last order has been begun. What has become of all of them. Raises GaveUp, Refused."""
    control, admin = Control(), Account(ADMIN_EMAIL, ADMIN_PASSWORD)
    async with background(play(system.url(), admin, storm.plan, control), "clients") as playing:
        await eventually(lambda: control.has_begun.is_set() or playing.done(), SHOP_SECONDS)
        async with background(fate.strike(storm.every), "fate"), background(_read(system, books), "books"):
            await _last_order(storm.plan, control, playing)
        report: Report = await playing
        return report


async def _last_order(plan: Plan, control: Control, playing: "asyncio.Task[Report]") -> None:
    """Return once it has been begun."""
    ends = time.monotonic() + (plan.seconds or math.inf)
    while not playing.done() and time.monotonic() < ends and control.orders < (plan.orders or math.inf):
        await asyncio.wait([playing], timeout=POLL_SECONDS)


async def _read(system: System, books: Books) -> None:
    """What must always hold, holds while services are at work and die."""
    while True:
        with suppress(SetupError):  # a database is away
            findings = await asyncio.to_thread(check, system.environment, ANY_AGE)
            books.looks += 1
            books.faults += [in_words(each) for each in findings if not each.is_sound]
        await asyncio.sleep(LOOK_SECONDS)


def weather(folder: Path, storm: Storm) -> bool:
    """A storm over a new system, told on standard output. True when it has done no harm."""
    points, books = CrashPoints(folder / "points"), Books()
    system = new_system(folder, storm, points)
    fate = Fate(system, points, storm.victims, storm.share, random.Random(storm.plan.seed))
    try:
        system.start()
        report = asyncio.run(blow(system, fate, storm, books))
        print(fate.deaths, books, report, sep="\n", flush=True)
        seconds = wait_for_rest(system, REST_SECONDS)
        print(f"at rest {seconds:.1f} s later: every order final, every event published, all adds up")
    except (AssertionError, GaveUp, Refused) as harm:
        print(harm)
        return False
    finally:
        system.close()
    return report.is_clean and not books.faults


def _main() -> int:
    arguments = _parser().parse_args()
    if arguments.kafka:
        make_kafka_ready()
    print(f"seed {arguments.seed}", flush=True)
    logging.getLogger("psycopg").setLevel(logging.ERROR)  # that a server has died is what we are here for
    folder = Path(tempfile.mkdtemp(prefix="crash-test-"))
    if not (_chat_weather if arguments.chat else _weather)(folder, arguments):
        print(f"FAILED: what the system has said and kept is in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


def _weather(folder: Path, arguments: argparse.Namespace) -> bool:
    orders = None if arguments.seconds else arguments.orders
    plan = Plan(arguments.clients, orders, arguments.seconds, seed=arguments.seed, patience=PATIENCE_SECONDS)
    storm = Storm(plan, arguments.every, SHARES[arguments.points], arguments.replicas, arguments.kafka)
    return weather(folder, storm)


def _chat_weather(folder: Path, arguments: argparse.Namespace) -> bool:
    storm = chat_storm.Storm(
        users=arguments.clients,
        rooms=arguments.rooms,
        seconds=arguments.seconds or CHAT_SECONDS,
        every=arguments.every,
        share=SHARES[arguments.points],
        seed=arguments.seed,
        kafka=arguments.kafka,
    )
    return chat_storm.weather(folder, storm)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/crash-test", description=__doc__)
    parser.add_argument(
        "--chat", action="store_true", help="talk over WebSockets, for 60 seconds unless told"
    )
    parser.add_argument("--orders", type=int, default=1_000, help="how many are placed (%(default)s)")
    parser.add_argument("--seconds", type=float, help="for so long, however many orders")
    parser.add_argument("--clients", type=int, default=50, help="who order or talk (%(default)s)")
    parser.add_argument("--rooms", type=int, default=10, help="in which they talk (%(default)s)")
    parser.add_argument("--every", type=float, default=2.0, help="seconds between two deaths (%(default)s)")
    parser.add_argument(
        "--points", choices=SHARES, default="mixed", help="deaths at crash points (%(default)s)"
    )
    parser.add_argument("--replicas", type=int, default=2, help="processes of order (%(default)s)")
    parser.add_argument("--kafka", action="store_true", help="events go over a Kafka, which is killed, too")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="repeats the choices of a run")
    return parser


if __name__ == "__main__":
    sys.exit(exit_status("crash-test", _main))
