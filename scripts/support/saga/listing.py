"""`./scripts/saga list`: the sagas that run, and those that have ended."""

from collections.abc import Sequence

from scripts.support.admin.text import table, time
from scripts.support.saga.standings import Standing, ended, opened_service, running
from scripts.support.saga.words import due_in_words, next_in_words, problem_in_words, span
from services.order.service.orchestrator import STUCK_SECONDS
from shared.config import Environment

RUNNING_HEADS = ("ORDER", "SAGA", "NEXT", "IN VAIN", "WAITS", "DUE", "WHY")
ENDED_HEADS = ("ORDER", "ENDED AS", "REASON", "STEPS", "TOOK", "AT")


async def list_sagas(environment: Environment, limit: int, *, stuck: bool, with_ended: bool) -> int:
    """The longest waiting first, so the stuck ones: only those if `stuck`. `limit` is that of each table."""
    async with opened_service(environment, "order") as order:
        sagas = await running(order, STUCK_SECONDS if stuck else 0.0, limit + 1)
        old = await ended(order, limit + 1) if with_ended else []
    print(_running(sagas, limit) if sagas else f"no saga is {'stuck' if stuck else 'running'}")
    if with_ended:
        print(f"\n{_ended(old, limit)}" if old else "\nno saga has ended")
    return 0


def _running(sagas: Sequence[Standing], limit: int) -> str:
    return table(RUNNING_HEADS, [_running_row(each) for each in sagas[:limit]]) + _more(sagas, limit)


def _ended(sagas: Sequence[Standing], limit: int) -> str:
    return table(ENDED_HEADS, [_ended_row(each) for each in sagas[:limit]]) + _more(sagas, limit)


def _running_row(saga: Standing) -> list[str]:
    """The reason why one waits is told when it waits for long, or was in vain."""
    why = problem_in_words(saga) if saga.is_stuck or saga.problem else ""
    state = "stuck" if saga.is_stuck else "running"
    waits = (str(saga.attempts), span(saga.seconds), due_in_words(saga.due_in))
    return [str(saga.order_id), state, next_in_words(saga.log), *waits, why]


def _ended_row(saga: Standing) -> list[str]:
    took = span((saga.since - saga.began_at).total_seconds())
    return [str(saga.order_id), saga.status, saga.reason, str(len(saga.log)), took, time(saga.since)]


def _more(sagas: Sequence[Standing], limit: int) -> str:
    return "\n(and more: --limit)" if len(sagas) > limit else ""
