"""What can become of a reservation, and what each command answers then."""

from enum import StrEnum


class ReservationStatus(StrEnum):
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
    ReservationStatus.RESERVED: ReserveOutcome.RESERVED,
    ReservationStatus.REFUSED: ReserveOutcome.OUT_OF_STOCK,
    ReservationStatus.COMMITTED: ReserveOutcome.RESERVED,
    ReservationStatus.RELEASED: ReserveOutcome.ALREADY_CANCELLED,
    ReservationStatus.EXPIRED: ReserveOutcome.RESERVATION_EXPIRED,
}
RELEASE_OUTCOMES = {
    ReservationStatus.REFUSED: ReleaseOutcome.RELEASED,
    ReservationStatus.COMMITTED: ReleaseOutcome.ALREADY_COMMITTED,
    ReservationStatus.RELEASED: ReleaseOutcome.RELEASED,
    ReservationStatus.EXPIRED: ReleaseOutcome.RELEASED,
}
COMMIT_OUTCOMES = {
    ReservationStatus.REFUSED: CommitOutcome.NOT_RESERVED,
    ReservationStatus.COMMITTED: CommitOutcome.COMMITTED,
    ReservationStatus.RELEASED: CommitOutcome.ALREADY_CANCELLED,
    ReservationStatus.EXPIRED: CommitOutcome.RESERVATION_EXPIRED,
}
