"""Who calls."""

from uuid import UUID

from shared.context import Principal
from shared.errors import Unauthenticated
from shared.ids import parse_id


def caller(principal: Principal) -> tuple[UUID, UUID]:
    """The user and session that the gateway vouches for."""
    user_id, session_id = parse_id(principal.user_id), parse_id(principal.session_id)
    if user_id is None or session_id is None:
        raise Unauthenticated("Log in to do this.")
    return user_id, session_id
