"""Logins at full speed, while others go on using the system: what do they notice of it?

A login costs a large part of a second of one core, on purpose. The same requests are asked, at a steady rate,
before, during and after a flood of logins. The keys and the metadata are answered by the very process that
checks the passwords, the metadata without a look into the database; how long its event loop stands still at
worst, it measures itself.

A ratio below 1 is no mistake: a machine that rests takes its time to wake up for a lone request.
"""

import json
import multiprocessing
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bench.client import OK, Client, Reply
from bench.distributions import quantile
from bench.flood import Flood, FloodPlan, flood
from bench.loop_delays import Buckets, LoopDelays, between, read_buckets
from bench.probes import PER_SECOND, Replies, probe
from bench.table import milliseconds, table
from bench.whole_system import NO_LOCKOUT, Account, access_token, sign_up, whole_system
from tests.e2e.system import System
from tests.waiting import until

ACCOUNTS = 8
START_SECONDS = 30.0
HELD_SECONDS = 0.01  # no event loop shall stand still for longer
ME, KEYS = "/auth/me", "/.well-known/jwks.json"
METADATA = "/.well-known/oauth-authorization-server"
HASHING = "bcrypt_hashes_running 0.0"
LOOPS = {"auth": "auth", "gateway": "gateway_admin"}  # who measures, and where it says so
# So many right passwords at once from one address would pass for guessing until each has been checked.
SETTINGS = {**NO_LOCKOUT, "ACCESS_TOKEN_SECONDS": "3600"}


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything that the tables show."""

    quiet: Replies
    flooded: Replies
    flood: Flood
    loops: Mapping[str, LoopDelays]


def measure_logins(plan: FloodPlan) -> int:
    """Prints what the flood achieved and what others noticed; exit status."""
    with tempfile.TemporaryDirectory() as folder, whole_system(Path(folder) / "home", SETTINGS) as system:
        accounts = sign_up(system, ACCOUNTS)
        token = access_token(system, accounts[0])
        tokens = {_some_product(system): None, ME: token, KEYS: None, METADATA: None}
        probe(system.url(), tokens, 1)  # warm up
        measured = _measure(system, tokens, accounts, plan)
    manner = "heeding Retry-After" if plan.patient else "not heeding Retry-After"
    print(f"{plan.clients} clients log in for {plan.seconds:g} s, {ACCOUNTS} accounts, {manner}\n")
    _print(measured)
    return 0


def _measure(
    system: System, tokens: Mapping[str, str | None], accounts: list[Account], plan: FloodPlan
) -> Measured:
    quiet = probe(system.url(), tokens, plan.seconds / 2)
    before = _loop_buckets(system)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as others:  # its work delays no probe
        flooding = others.submit(flood, system.url(), accounts, plan)
        until(lambda: flooding.done() or HASHING not in _metrics(system, "auth"), START_SECONDS, "the flood")
        flooded = probe(system.url(), tokens, plan.seconds)
        flooder = flooding.result()
    after = _loop_buckets(system)
    loops = {name: between(before[name], after[name]) for name in LOOPS}
    later = probe(system.url(), tokens, plan.seconds / 2)
    return Measured({name: quiet[name] + later[name] for name in tokens}, flooded, flooder, loops)


def _some_product(system: System) -> str:
    """The path of one in the catalogue, which is loaded."""
    seeded = system.run("./scripts/seed")
    if seeded.returncode != 0:
        raise RuntimeError(seeded.stderr)
    with Client(system.url()) as client:
        return f"/products/{json.loads(client.get('/products?limit=1').body)['items'][0]['product_id']}"


def _loop_buckets(system: System) -> dict[str, Buckets]:
    return {name: read_buckets(_metrics(system, address)) for name, address in LOOPS.items()}


def _metrics(system: System, address: str) -> str:
    with Client(system.url(address)) as client:
        return client.get("/metrics").body.decode()


# What is printed


def _print(measured: Measured) -> None:
    print(_login_table(measured.flood))
    print(f"\nOthers, each {PER_SECOND} times a second through the gateway, without and with the flood:\n")
    print(_latency_table(measured.quiet, measured.flooded))
    print("\nHow long the event loops stood still during the flood:\n")
    print(_loop_table(measured.loops))


def _login_table(logins: Flood) -> str:
    good = [reply.seconds for reply in logins.replies if reply.status == OK]
    statuses = sorted({OK, 503, *(reply.status for reply in logins.replies)})
    counts = [str(sum(reply.status == status for reply in logins.replies)) for status in statuses]
    times = [milliseconds(quantile(good, share)) for share in (0.5, 0.99)] if good else ["-", "-"]
    heads = ["logins/s", *map(str, statuses), "median ms", "p99 ms"]
    return table(heads, [[f"{len(good) / logins.seconds:.1f}", *counts, *times]])


def _latency_table(quiet: Replies, flooded: Replies) -> str:
    return table(["", "flood", "median ms", "p99 ms", "longest ms", "not 200"], _latency_rows(quiet, flooded))


def _latency_rows(quiet: Replies, flooded: Replies) -> Iterator[list[str]]:
    for target in quiet:
        without, during = _latencies(quiet[target]), _latencies(flooded[target])
        name = "/products/{id}" if target.startswith("/products/") else target
        yield [f"`{name}`", "without", *map(milliseconds, without), _refused(quiet[target])]
        yield ["", "with", *map(milliseconds, during), _refused(flooded[target])]
        yield ["", "ratio", *(f"{more / less:.1f}" for more, less in zip(during, without, strict=True)), ""]


def _latencies(replies: list[Reply]) -> list[float]:
    """Median, 99th percentile and longest, in seconds."""
    return [quantile([reply.seconds for reply in replies], share) for share in (0.5, 0.99, 1)]


def _refused(replies: list[Reply]) -> str:
    return str(sum(reply.status != OK for reply in replies))


def _loop_table(loops: Mapping[str, LoopDelays]) -> str:
    heads = ["process", "longest ms", f"above {HELD_SECONDS * 1000:g} ms", "samples"]
    return table(heads, ([name, *_loop_figures(delays)] for name, delays in loops.items()))


def _loop_figures(delays: LoopDelays) -> list[str]:
    shortest, longest = delays.longest
    spread = f"{shortest * 1000:g} to {longest * 1000:g}"
    return [spread, str(delays.above(HELD_SECONDS)), str(delays.samples)]
