"""Passwords: bcrypt in a bounded pool of threads.

bcrypt reads 72 bytes at most and stops at a zero byte, so it is given base64(SHA-256(password)): 44
characters that depend on all of it. The password is normalised (NFKC) first, because keyboards spell "é" in
two ways.

A hash takes a large part of a second of one core, on purpose. No more run at once than there are cores,
WAITING may wait, and past that we say so: an answer after a minute helps nobody. Client addresses take turns.
A hash that runs cannot be stopped, and keeps its place until it is done, wanted or not. bcrypt lets go of the
interpreter lock, and on Linux its threads give way to everything else, so the rest of the server stays quick.

How long an answer takes must not tell whether there is an account. One that does not exist is compared with
the hash of nothing. A hash of a lower cost than is set now is topped up: 2^c rounds were saved in it, and one
hash more at each cost from c to the one below ours adds up to 2^cost,

    2^c + 2^c + 2^(c+1) + ... + 2^(cost-1) = 2^cost

whether the password is right or wrong. A hash of a higher cost than ours takes longer than that, and shows:
who lowers the cost makes the accounts known that have not changed their passwords since.
"""

import asyncio
import base64
import hashlib
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

import bcrypt

from services.auth.domain.passwords import normal_form
from services.auth.turns import Turns
from shared.errors import Unavailable
from shared.observability.metrics import PASSWORD_HASHES, PASSWORD_QUEUE, show

T = TypeVar("T")

WAITING = 64
RETRY_AFTER_SECONDS = 5.0  # about what a full queue takes on four cores at the default cost
NICENESS = 5
_HASH_CHARACTERS = 31  # what follows version, cost and salt


class BcryptPasswords:
    """The domain's Passwords, at a cost of 2^`cost` rounds."""

    def __init__(self, cost: int, *, at_once: int | None = None, waiting: int = WAITING) -> None:
        self._cost = cost
        at_once = _cores() if at_once is None else at_once
        self._turns = Turns(at_once, waiting, _too_many)
        self._threads = ThreadPoolExecutor(max(1, at_once), "bcrypt", initializer=_give_way)
        show(PASSWORD_HASHES, lambda: self._turns.running)
        show(PASSWORD_QUEUE, lambda: self._turns.waiting)

    async def hash(self, password: str) -> str:
        """A new salted hash."""
        return await self._run(lambda: bcrypt.hashpw(_digest(password), bcrypt.gensalt(self._cost)).decode())

    async def matches(self, password: str, password_hash: str | None) -> bool:
        """Compares in constant time; costs 2^cost rounds at least, whatever there is to compare with."""
        return await self._run(lambda: self._matches(_digest(password), password_hash))

    def needs_rehash(self, password_hash: str) -> bool:
        """Whether the hash names a lower cost than ours."""
        return _cost_of(password_hash) < self._cost

    def close(self) -> None:
        """Take no more work."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _matches(self, digest: bytes, password_hash: str | None) -> bool:
        if password_hash is None:
            bcrypt.checkpw(digest, _hash_of_nothing(self._cost))
            return False
        is_right = bcrypt.checkpw(digest, password_hash.encode())
        for cost in range(_cost_of(password_hash), self._cost):
            bcrypt.checkpw(digest, _hash_of_nothing(cost))
        return is_right

    async def _run(self, work: Callable[[], T]) -> T:
        await self._turns.begin()
        job = self._threads.submit(work)
        loop = asyncio.get_running_loop()
        job.add_done_callback(lambda _: _call_soon(loop, self._turns.end))  # in its thread
        return await asyncio.wrap_future(job)


def _too_many() -> Unavailable:
    detail = "Too many passwords are being checked at the moment."
    return Unavailable(detail, retry_after=RETRY_AFTER_SECONDS)


def _call_soon(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(callback)


def _digest(password: str) -> bytes:
    normal = normal_form(password).encode("utf-8", "surrogatepass")
    return base64.b64encode(hashlib.sha256(normal).digest())


def _cost_of(password_hash: str) -> int:
    """From `$2b$12$…`: 12."""
    return int(password_hash.split("$")[2])


def _hash_of_nothing(cost: int) -> bytes:
    """Well-formed, and not what any password gives."""
    return bcrypt.gensalt(cost) + b"." * _HASH_CHARACTERS


def _cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _give_way() -> None:
    if sys.platform == "linux":  # where niceness belongs to the thread
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
