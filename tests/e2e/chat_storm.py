"""Talk without pause while processes die at random, and what must be true when all is quiet again.

On a system of its own, with two WebSocket gateways. Afterwards everybody has heard everything that was said
in their rooms, by the database, in order, once; whatever had an answer is there; nobody's words are there
twice; and everybody sees who is in the room. `./scripts/crash-test --chat`.
"""

import asyncio
import random
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scripts.support.load.patient_client import GaveUp, PatientClient
from shared.config import LOOPBACK
from shared.ports import port_of
from shared.tasks import background
from tests.e2e.chatter import Chatter, chattering
from tests.e2e.crash_points import CrashPoints
from tests.e2e.event_storm import use_kafka
from tests.e2e.fate import Fate
from tests.e2e.people import Person
from tests.e2e.replicas import keep_replicas
from tests.e2e.rest import wait_for_rest
from tests.e2e.system import CHEAP_PASSWORDS, System, procfile_of
from tests.e2e.talkers import Talker, talking
from tests.e2e.transcripts import faults, repeated, said, unkept
from tests.waiting import eventually

SERVICES = ("auth", "product", "inventory", "payment", "order", "chat", "gateway", "ws_gateway")
VICTIMS = (
    "chat.1",
    "ws_gateway.1",
    "ws_gateway.2",
    "auth.1",
    "gateway.1",
    "valkey-server",
    "postgres-server",
)
REPLICATED, GATEWAYS = "ws_gateway", 2
ROOMS_EACH = 3  # in which one user is
SETTINGS = {"WS_RECONNECT_SPREAD_SECONDS": "2"}
PATIENCE_SECONDS = 300.0
QUIET_SECONDS = 120.0  # whoever was frozen is back, and whoever died often, too
PACE_SECONDS = 0.2


@dataclass(frozen=True)
class Storm:
    """So many `users` talk in so many `rooms` while somebody dies `every` so many seconds.

    A `share` of them, from 0 to 1, die at crash points.
    """

    users: int
    rooms: int
    seconds: float
    every: float
    share: float
    seed: int
    kafka: bool = False

    @property
    def victims(self) -> Sequence[str]:
        """By the name of the record."""
        return (*VICTIMS, *(["kafka-server"] if self.kafka else []))


@dataclass
class Toll:
    """What has happened, and what is wrong."""

    said: int = 0
    heard: int = 0
    transcripts: int = 0
    endings: Counter[str] = field(default_factory=Counter)
    troubles: Counter[str] = field(default_factory=Counter)
    harm: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [
            f"{self.said} messages said, {self.heard} heard, written down in {self.transcripts} transcripts",
            f"connections ended: {self.endings.total()} {dict(sorted(self.endings.items()))}",
            f"tried again: {self.troubles.total()} {dict(sorted(self.troubles.items()))}",
        ]
        return "\n".join([*lines, *self.harm])


def new_system(folder: Path, storm: Storm, points: CrashPoints) -> System:
    """Not running yet."""
    engines = ("postgres", "valkey", *(["kafka"] if storm.kafka else []))
    procfile = procfile_of((*engines, *SERVICES), folder)
    keep_replicas(Path(procfile["PROCFILE"]), REPLICATED, GATEWAYS)
    system = System(folder / "home", {**CHEAP_PASSWORDS, **SETTINGS, **points.setting, **procfile})
    if storm.kafka:
        use_kafka(system)
    return system


async def blow(system: System, fate: Fate, storm: Storm, toll: Toll) -> None:
    """Until its time is over, and everybody has heard all. AssertionError or GaveUp when that never comes."""
    client = PatientClient(system.url(), storm.users, PATIENCE_SECONDS)
    try:
        talkers = await _gathered(system, client, storm)
        async with talking(*talkers):
            chatter = await _talk(talkers, fate, storm)
            await _quiet(chatter)
        _judge(system, talkers, toll)
    finally:
        await client.close()


async def _talk(talkers: Sequence[Talker], fate: Fate, storm: Storm) -> Chatter:
    async with (
        chattering(*talkers, pace=PACE_SECONDS) as chatter,
        background(fate.strike(storm.every), "fate"),
    ):
        await asyncio.sleep(storm.seconds)
    return chatter


async def _gathered(system: System, client: PatientClient, storm: Storm) -> list[Talker]:
    """Each in some of the rooms, of which one half is private. They come by either gateway."""
    chance = random.Random(storm.seed)
    people = [await Person.new(client, f"User{number}") for number in range(storm.users)]
    rooms = [await people[0].make_room(*people, private=bool(number % 2)) for number in range(storm.rooms)]
    ports = [port_of(REPLICATED, system.port_base, number + 1) for number in range(GATEWAYS)]
    ways = [f"ws://{LOOPBACK}:{port}/ws" for port in ports]
    return [
        Talker(person, chance.sample(ways, GATEWAYS), chance.sample(rooms, min(ROOMS_EACH, storm.rooms)))
        for person in people
    ]


async def _quiet(chatter: Chatter) -> None:
    """Everybody has heard everything, and sees everybody."""
    await chatter.is_heard(chatter.talkers, QUIET_SECONDS)
    present: dict[str, set[str]] = {}
    for talker in chatter.talkers:
        for room_id in talker.present:
            present.setdefault(room_id, set()).add(talker.person.user_id)
    try:
        await eventually(lambda: not _blind(chatter.talkers, present), QUIET_SECONDS)
    except TimeoutError:
        raise AssertionError("\n".join(_blind(chatter.talkers, present))) from None


def _blind(talkers: Sequence[Talker], present: dict[str, set[str]]) -> list[str]:
    """Who does not see everybody, or sees somebody who is not there."""
    return [
        f"{talker.person.email} sees wrongly in {room_id}: {sorted(seen ^ present[room_id])}"
        for talker in talkers
        for room_id, seen in talker.present.items()
        if seen != present[room_id]
    ]


def _judge(system: System, talkers: Sequence[Talker], toll: Toll) -> None:
    for room_id in {room_id for each in talkers for room_id in each.transcripts}:
        lines = said(system.environment, room_id)
        toll.said += len(lines)
        toll.harm += repeated(lines)
        for talker in [each for each in talkers if room_id in each.transcripts]:
            transcript = talker.transcripts[room_id]
            toll.transcripts += 1
            toll.heard += len(transcript.lines)
            toll.harm += [f"{talker}: {fault}" for fault in faults(transcript, lines)]
            toll.harm += unkept(talker.posted[room_id], lines)
    for talker in talkers:
        toll.endings.update(str(each.code) for each in talker.closes)
        toll.troubles += talker.troubles


def weather(folder: Path, storm: Storm) -> bool:
    """A storm over a new system, told on standard output. True when it has done no harm."""
    points, toll = CrashPoints(folder / "points"), Toll()
    system = new_system(folder, storm, points)
    fate = Fate(system, points, storm.victims, storm.share, random.Random(storm.seed))
    try:
        system.start()
        asyncio.run(blow(system, fate, storm, toll))
        print(fate.deaths, toll, sep="\n", flush=True)
        seconds = wait_for_rest(system, QUIET_SECONDS)
        print(f"at rest {seconds:.1f} s later: every event published, all adds up")
    except (AssertionError, GaveUp, ExceptionGroup):
        print(fate.deaths)
        traceback.print_exc()
        return False
    finally:
        system.close()
    return not toll.harm
