"""Whether a process is ready, seen from outside: by /readyz, or an engine by its record."""

import http.client

from scripts.support.parts import Part
from shared.proxy.config import Address

ANSWER_SECONDS = 1.0  # short: a signal has to wait for it


def why_not_ready(part: Part) -> str:
    """What is missing; empty when `part` is ready."""
    if part.is_engine:
        return "" if part.records.read(f"{part.name}-ready") else "it has not started yet"
    try:
        return _why_refused(part.ready_address)
    except (OSError, http.client.HTTPException) as failure:
        return str(failure) or type(failure).__name__


def _why_refused(address: Address) -> str:
    connection = http.client.HTTPConnection(*address, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", "/readyz")
        response = connection.getresponse()
        answer = response.read().decode(errors="replace")
        return "" if response.status == http.HTTPStatus.OK else f"{response.status} {answer}"
    finally:
        connection.close()
