"""Who may do this? A route names the roles, the principal must have one of them.

The gateway puts it behind `authenticate`, a service behind `identity`: neither relies on the other's check.
"""

from collections.abc import Awaitable, Set
from uuid import UUID

from shared.context import Principal
from shared.errors import Forbidden, Unauthenticated
from shared.http.messages import Handler, Middleware, Request, Response
from shared.ids import parse_id


def user_id_of(principal: Principal) -> UUID:
    """The user that the caller speaks for. Raises Unauthenticated when that is nobody."""
    user_id = parse_id(principal.user_id)
    if user_id is None:
        raise Unauthenticated("Log in to do this.")
    return user_id


def users_only() -> Middleware:
    """Raises Unauthenticated. Whoever is logged in may pass."""

    def wrap(handler: Handler) -> Handler:
        def guarded(request: Request) -> Awaitable[Response]:
            if request.principal.is_anonymous:
                raise Unauthenticated("Log in to do this.")
            return handler(request)

        return guarded

    return wrap


def authorize(roles: Set[str]) -> Middleware:
    """Raises Unauthenticated or Forbidden. No `roles` let everyone pass."""

    def wrap(handler: Handler) -> Handler:
        def guarded(request: Request) -> Awaitable[Response]:
            if request.principal.roles.isdisjoint(roles):
                raise Forbidden("Your account may not do this.")
            return handler(request)

        return users_only()(guarded) if roles else handler

    return wrap
