"""What travels with a request through every layer: who asks, under which id and trace, until when.

The values are set once where a request (or event) enters the process and read where they are needed:
log lines, outgoing calls. They live in context variables, so each task sees its own.
"""

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trace:
    """One span's place in a trace: the trace's id, this span's id, its parent's id ("" for a root)."""

    trace_id: str
    span_id: str
    parent_id: str = ""
    flags: str = "01"  # sampled

    @property
    def traceparent(self) -> str:
        """The header that makes the receiver a child of this span (W3C Trace Context)."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks, as the gateway has verified it. `user_id` is empty for an anonymous request."""

    user_id: str = ""
    session_id: str = ""
    token_id: str = ""
    token_expires: int = 0  # Unix seconds
    roles: frozenset[str] = frozenset()
    client_address: str = ""

    @property
    def is_anonymous(self) -> bool:
        """True when no token came with the request."""
        return not self.user_id


ANONYMOUS = Principal()

request_id: ContextVar[str] = ContextVar("request_id", default="")
trace: ContextVar[Trace | None] = ContextVar("trace", default=None)
deadline: ContextVar[float | None] = ContextVar("deadline", default=None)  # time.monotonic() seconds
principal: ContextVar[Principal] = ContextVar("principal", default=ANONYMOUS)
