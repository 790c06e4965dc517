"""How patient a client is. Apart from the client, for whoever only reads the setting."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long one exchange may wait, in seconds."""

    connect: float = 2.0  # for a connection
    head: float = 30.0  # for the answer's head, once the request is sent
    idle: float = 30.0  # for the next piece of either body
    total: float | None = None  # for everything together


USUAL_TIMEOUTS = Timeouts()
