"""How long the event loop is held up, measured by somebody who sleeps and looks how late they are woken.

While one callback computes, or waits for a file, nothing else in the process moves: no other request, no
ping, no deadline. A request's own duration does not show whose fault that was; this does.
"""

import asyncio
from time import monotonic

from shared.observability.metrics import EVENT_LOOP_DELAY

# Whatever holds the loop for longer than this is met. What holds it for 10 ms is met one time in five:
# it shows once it has happened often. Each look takes some 30 µs.
SAMPLE_SECONDS = 0.05


async def measure_delay() -> None:
    """Go on for ever. Run it in the background."""
    while True:
        due = monotonic() + SAMPLE_SECONDS  # uvloop's own clock stands still while a callback runs
        await asyncio.sleep(SAMPLE_SECONDS)
        EVENT_LOOP_DELAY.observe(max(0.0, monotonic() - due))
