"""Ports that nobody uses: whether one is free, and a PORT_BASE for a whole system."""

import os
import random
import socket
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from scripts.support.failures import SetupError
from scripts.support.locks import awaited
from shared.config import LOOPBACK
from shared.ports import OFFSETS

LOWEST_BASE, HIGHEST_BASE, BASE_STEP = 10_000, 32_000, 100  # below the range of outgoing connections
ATTEMPTS = 200
STARTING_SECONDS = 60.0  # until whoever has chosen a base listens at its ports


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen on `port` now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # connections that have ended don't matter
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port_base() -> int:
    """A PORT_BASE whose ports are all free, and that nobody else has just chosen."""
    choose = random.Random(os.urandom(8))  # noqa: S311 - not a secret
    chosen = Path(tempfile.gettempdir()) / f"plainstack-ports-{os.getuid()}"
    with awaited(chosen / "lock"):
        for _ in range(ATTEMPTS):
            base = choose.randrange(LOWEST_BASE, HIGHEST_BASE, BASE_STEP)
            if _is_old(chosen / str(base)) and all_free(base + offset for offset in OFFSETS.values()):
                (chosen / str(base)).touch()
                return base
    raise SetupError("found no hundred free ports in a row")


def _is_old(choice: Path) -> bool:
    """Whether it was made long ago, or never."""
    try:
        return time.time() - choice.stat().st_mtime > STARTING_SECONDS
    except FileNotFoundError:
        return True


def all_free(ports: Iterable[int]) -> bool:
    """Whether a server could listen on every one of `ports`."""
    return all(is_free(port) for port in ports)
