"""Whether a process is ready, seen from outside: by /readyz, or an engine by its record."""

import json
import socket
from dataclasses import dataclass

from scripts.support.parts import Part
from shared.config import Address

ANSWER_SECONDS = 1.0  # short: a signal has to wait for it
READY = 200


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why something is not ready. `lasts` when it says itself that waiting will not help."""

    reason: str
    lasts: bool = False

    def __str__(self) -> str:
        return self.reason


def why_not_ready(part: Part) -> Obstacle | None:
    """What stands in the way of `part`; None when it is ready."""
    if part.is_engine:
        return None if part.records.read(f"{part.name}-ready") else Obstacle("it has not started yet")
    try:
        status, answer = _ask(part.ready_address)
    except OSError as failure:
        return Obstacle(str(failure) or type(failure).__name__)
    except ValueError:
        return Obstacle("what answers there speaks no HTTP")
    return None if status == READY else _obstacle(status, answer)


def _obstacle(status: int, answer: str) -> Obstacle:
    """Of what a process says when it is not ready, first that which lasts."""
    try:
        document = json.loads(answer)
        failures, lasting = document["failures"], document["lasting"]
    except (ValueError, LookupError, TypeError):  # it is none of ours
        return Obstacle(f"{status} {answer}")
    names = lasting or failures
    return Obstacle("; ".join(f"{name}: {failures[name]}" for name in names), lasts=bool(lasting))


def _ask(address: Address) -> tuple[int, str]:
    """Status and body. In HTTP/1.0 the answer ends with the connection. ValueError when it is no HTTP.

    Python's own client takes as long to import as all the rest of scripts/keep, which every process has.
    """
    with socket.create_connection(address, ANSWER_SECONDS) as connection:
        connection.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
        with connection.makefile("rb") as answer:
            head, _, body = answer.read().partition(b"\r\n\r\n")
    _, status, *_ = head.split(maxsplit=2)
    return int(status), body.decode(errors="replace")
