import time

from prometheus_client import REGISTRY

from shared.event_loop import SAMPLE_SECONDS, measure_delay
from shared.tasks import background
from tests.waiting import eventually


def later_than(bound: float) -> float:
    """How often somebody was woken more than `bound` seconds late."""
    within = REGISTRY.get_sample_value("event_loop_delay_seconds_bucket", {"le": str(bound)})
    return woken() - (within or 0.0)


def woken() -> float:
    return REGISTRY.get_sample_value("event_loop_delay_seconds_count") or 0.0


async def test_a_blocked_loop_is_seen() -> None:
    async with background(measure_delay(), "event loop delay"):
        before = woken()
        await eventually(lambda: woken() > before)
        late = later_than(0.1)
        time.sleep(2 * SAMPLE_SECONDS + 0.1)  # noqa: ASYNC251 - the very thing that nobody should do
        await eventually(lambda: later_than(0.1) > late)
