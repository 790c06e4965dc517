"""Unix time, as tokens and the store tell it, and the time of day."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FAR_FUTURE = 2.0**37  # the year 6325: some years that a token may name, no datetime can hold


def milliseconds(moment: datetime) -> int:
    """Rounded down. Exact, where a float of the seconds is not."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def seconds(moment: datetime) -> int:
    """Rounded down."""
    return (moment - _EPOCH) // timedelta(seconds=1)


def moment(unix_seconds: float) -> datetime:
    """To the millisecond; whatever is later than the far future is the far future."""
    return _EPOCH + timedelta(milliseconds=round(min(unix_seconds, _FAR_FUTURE) * 1000))
