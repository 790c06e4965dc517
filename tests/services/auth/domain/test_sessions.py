from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from services.auth.domain.sessions import Decision, RefreshToken, Session, decide_refresh

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GRACE = timedelta(seconds=10)
LIVE = Session(uuid4(), uuid4(), NOW + timedelta(days=30), NOW + timedelta(days=90))
FRESH = RefreshToken(b"digest")


def used(
    seconds_ago: float, *, sealed: bytes | None = b"sealed", successor_used: bool = False
) -> RefreshToken:
    return RefreshToken(b"digest", NOW - timedelta(seconds=seconds_ago), sealed, successor_used)


def decided(token: RefreshToken | None, session: Session | None = LIVE) -> Decision:
    return decide_refresh(session, token, NOW, GRACE)


def test_a_fresh_token_rotates() -> None:
    assert decided(FRESH) is Decision.ROTATE


@pytest.mark.parametrize("seconds", [0, 3, 10])
def test_a_lost_answer_is_repeated_within_the_grace(seconds: float) -> None:
    assert decided(used(seconds)) is Decision.REPEAT


@pytest.mark.parametrize(
    "token", [used(10.001), used(3, successor_used=True), used(3, sealed=None), used(1e6)]
)
def test_any_other_second_use_ends_the_session(token: RefreshToken) -> None:
    assert decided(token) is Decision.END


def test_what_is_over_or_unknown_is_refused() -> None:
    expired = Session(LIVE.session_id, LIVE.user_id, NOW, NOW)
    ended = Session(LIVE.session_id, LIVE.user_id, LIVE.expires_at, LIVE.ends_by, ended_at=NOW)
    for session in (expired, ended, None):
        assert decided(FRESH, session) is Decision.REFUSE
        assert decided(used(3), session) is Decision.REFUSE
    assert decided(None) is Decision.REFUSE
