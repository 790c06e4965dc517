"""What the database refuses, every gateway refuses, and the other way round."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.auth.domain.revocations import Revocation, RevokedKind
from services.auth.unix_time import milliseconds
from shared.auth import revocation_list
from shared.auth.jwt import Claims
from shared.auth.revocation_list import RevocationList

NAME, YEAR = "name", datetime(2026, 1, 1, tzinfo=UTC)


def a_gateway_refuses(revocation: Revocation, issued_at: datetime) -> bool:
    """A token all of whose names are the one that is revoked."""
    known = RevocationList()
    kind = revocation_list.Kind(revocation.kind)
    known.add(revocation_list.Revocation(kind, NAME, milliseconds(revocation.revoked_at)))
    issued = issued_at.timestamp()
    claims = Claims(
        subject=NAME,
        session_id=NAME,
        token_id=NAME,
        key_id=NAME,
        client_id="",
        issuer="",
        audience=(),
        issued_at=issued,
        not_before=issued,
        expires=issued,
    )
    return known.refuses(claims)


@given(
    kind=st.sampled_from(RevokedKind),
    issued_ms=st.integers(-3, 3),
    revoked_us=st.integers(-2_500, 2_500),
)
def test_gateways_and_database_agree(kind: RevokedKind, issued_ms: int, revoked_us: int) -> None:
    """Tokens tell their time in milliseconds, the database in microseconds."""
    issued_at = YEAR + timedelta(milliseconds=issued_ms)
    revoked_at = YEAR + timedelta(microseconds=revoked_us)
    revocation = Revocation(kind, NAME, revoked_at, YEAR + timedelta(hours=1))
    assert revocation.refuses(issued_at) == a_gateway_refuses(revocation, issued_at)
