"""What can become of a reservation, and what each command answers then."""

from enum import StrEnum


class Status(StrEnum):
    """What has become of a reservation."""

    RESERVED = "RESERVED"
    REFUSED = "REFUSED"
    COMMITTED = "COMMITTED"
    RELEASED = "RELEASED"
    EXPIRED = "EXPIRED"


class ReserveOutcome(StrEnum):
    """How a Reserve ends."""

    RESERVED = "RESERVED"
    OUT_OF_STOCK = "OUT_OF_STOCK"
    ALREADY_CANCELLED = "ALREADY_CANCELLED"
    RESERVATION_EXPIRED = "RESERVATION_EXPIRED"


class ReleaseOutcome(StrEnum):
    """How a Release ends."""

    RELEASED = "RELEASED"
    ALREADY_COMMITTED = "ALREADY_COMMITTED"


class CommitOutcome(StrEnum):
    """How a Commit ends."""

    COMMITTED = "COMMITTED"
    RESERVATION_EXPIRED = "RESERVATION_EXPIRED"
    ALREADY_CANCELLED = "ALREADY_CANCELLED"
    NOT_RESERVED = "NOT_RESERVED"


# What each command answers, whenever it is asked, for what has become of the reservation. A Release or Commit
# decides before it answers, so only a Reserve ever finds one RESERVED.
RESERVE_OUTCOMES = {
    Status.RESERVED: ReserveOutcome.RESERVED,
    Status.REFUSED: ReserveOutcome.OUT_OF_STOCK,
    Status.COMMITTED: ReserveOutcome.RESERVED,
    Status.RELEASED: ReserveOutcome.ALREADY_CANCELLED,
    Status.EXPIRED: ReserveOutcome.RESERVATION_EXPIRED,
}
RELEASE_OUTCOMES = {
    Status.REFUSED: ReleaseOutcome.RELEASED,
    Status.COMMITTED: ReleaseOutcome.ALREADY_COMMITTED,
    Status.RELEASED: ReleaseOutcome.RELEASED,
    Status.EXPIRED: ReleaseOutcome.RELEASED,
}
COMMIT_OUTCOMES = {
    Status.REFUSED: CommitOutcome.NOT_RESERVED,
    Status.COMMITTED: CommitOutcome.COMMITTED,
    Status.RELEASED: CommitOutcome.ALREADY_CANCELLED,
    Status.EXPIRED: CommitOutcome.RESERVATION_EXPIRED,
}
