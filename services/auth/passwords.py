"""Passwords: bcrypt in a bounded pool of threads.

bcrypt reads 72 bytes at most and stops at a zero byte, so it is given base64(SHA-256(password)): 44
characters that depend on all of it. The password is normalised (NFKC) first, because keyboards spell "é" in
two ways.

A hash takes a large part of a second of one core, on purpose. No more run at once than there are cores,
WAITING may wait, and past that we say so: an answer after a minute helps nobody. bcrypt lets go of the
interpreter lock, and on Linux its threads give way to everything else, so the rest of the server stays quick.
"""

import asyncio
import base64
import hashlib
import os
import sys
import threading
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import bcrypt

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
        self._nobody = bcrypt.gensalt(cost) + b"." * _HASH_CHARACTERS  # well-formed, and the hash of nothing
        self._at_once = at_once or _cores()
        self._most = self._at_once + waiting
        self._entered = 0  # running and waiting
        self._free = asyncio.Semaphore(self._at_once)
        self._threads = ThreadPoolExecutor(self._at_once, "bcrypt", initializer=_give_way)
        show(PASSWORD_HASHES, lambda: min(self._entered, self._at_once))
        show(PASSWORD_QUEUE, lambda: max(0, self._entered - self._at_once))

    async def hash(self, password: str) -> str:
        """A new salted hash."""
        return (
            await self._run(lambda: bcrypt.hashpw(_digest(password), bcrypt.gensalt(self._cost)))
        ).decode()

    async def matches(self, password: str, password_hash: str | None) -> bool:
        """Compares in constant time; costs the same when there is nothing to compare with."""
        expected = self._nobody if password_hash is None else password_hash.encode()
        return (
            await self._run(lambda: bcrypt.checkpw(_digest(password), expected)) and password_hash is not None
        )

    def close(self) -> None:
        """Take no more work."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[], T]) -> T:
        if self._entered >= self._most:
            detail = "Too many passwords are being checked at the moment."
            raise Unavailable(detail, retry_after=RETRY_AFTER_SECONDS)
        self._entered += 1
        try:
            async with self._free:
                return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._entered -= 1


def _digest(password: str) -> bytes:
    normal = unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
    return base64.b64encode(hashlib.sha256(normal).digest())


def _cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _give_way() -> None:
    if sys.platform == "linux":  # where niceness belongs to the thread
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
