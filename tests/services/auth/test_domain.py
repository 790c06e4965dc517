from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.domain import (
    Decision,
    RefreshToken,
    Session,
    decide_refresh,
    display_name_fault,
    email_fault,
    email_key,
    password_fault,
)

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


@pytest.mark.parametrize(
    "email",
    [
        "a@b",
        "alice@example.com",
        "Alice.O'Neill+shop@mail.example.co.uk",
        "user@localhost",
        "x@127.0.0.1",
        "güllü@bücher.example",
        "用户@例子.公司",
        "a" * 64 + "@" + "b" * 63 + "." + "c" * 63 + "." + "d" * 60,
    ],
)
def test_an_address_is_judged_by_its_syntax_only(email: str) -> None:
    assert email_fault(email) is None


@pytest.mark.parametrize(
    "email",
    [
        "",
        "alice",
        "@example.com",
        "alice@",
        "a b@example.com",
        " a@example.com",
        "a@example.com ",
        "a@b@c",
        ".a@b",
        "a.@b",
        "a..b@c",
        "a@b..c",
        "a@.b",
        "a@-b",
        "a@b-",
        "a@b\n",
        "a\x00@b",
        "a\r\nBcc: x@b",
        "<a@b>",
        "a@b,c@d",
        "a" * 65 + "@b",
        "a@" + ".".join(["b" * 60] * 5),
        "a@" + "b" * 64,
    ],
)
def test_what_is_no_address(email: str) -> None:
    assert email_fault(email)


@given(st.text(max_size=300))
def test_no_text_breaks_the_rules(text: str) -> None:
    for rule in (email_fault, password_fault, display_name_fault):
        assert rule(text) is None or rule(text)
    assert email_key(text) == email_key(email_key(text))


def test_passwords_are_judged_by_their_length() -> None:
    assert password_fault("1234567")
    assert password_fault("12345678") is None
    assert password_fault("пароль🔑!") is None
    assert password_fault("x" * 1024) is None
    assert password_fault("x" * 1025)


def test_a_display_name_is_one_line() -> None:
    assert display_name_fault(" Ada ") is None
    assert display_name_fault("x" * 100) is None
    for name in ("", "   ", "x" * 101, "a\nb", "a\x00b", "a\u2028b"):
        assert display_name_fault(name)
