"""GET /ws: from a ticket to an open socket, or a clear refusal while it is still HTTP.

The order matters. What costs nothing comes first, so that a hopeless request does not use its ticket up. The
ticket is taken with one atomic command. Then the connection is registered, and only *then* are revocations
looked at: a logout before that look is seen by it, and one after it finds the connection registered.
"""

from urllib.parse import parse_qs

from services.ws_gateway.domain.chat import Who
from services.ws_gateway.handler.visitors import Visitor
from services.ws_gateway.service.rooms import Rooms
from services.ws_gateway.service.sessions import keys_of
from services.ws_gateway.settings import SocketSettings
from shared.auth.jwt import Claims
from shared.auth.revocation_list import Kind
from shared.auth.revocation_mirror import RevocationMirror
from shared.auth.tickets import Ticket, TicketStore
from shared.context import Principal
from shared.errors import ApplicationError, Forbidden, TooManyRequests, Unauthenticated, Unavailable
from shared.http.messages import Request, Response
from shared.observability import metrics
from shared.websocket.connection import WebSocket
from shared.websocket.deflate import Deflate
from shared.websocket.handshake import accepting_fields, read_handshake
from shared.websocket.hub import Hub

RETRY_SECONDS = 2.0


class Opening:
    """The door; whoever has passed it is in `hub`."""

    def __init__(
        self,
        settings: SocketSettings,
        tickets: TicketStore,
        revocations: RevocationMirror,
        hub: Hub[Visitor],
        rooms: Rooms,
    ) -> None:
        self._settings = settings
        self._tickets = tickets
        self._revocations = revocations
        self._hub = hub
        self._rooms = rooms

    async def open(self, request: Request) -> Response:
        """101. Raises an error that says 400, 401, 403, 426, 429 or 503."""
        try:
            return await self._open(request)
        except ApplicationError as refusal:
            metrics.WS_REFUSED.labels(refusal.code).inc()
            raise

    async def _open(self, request: Request) -> Response:
        handshake = read_handshake(request)
        if not self._settings.allows(handshake.origin):
            raise Forbidden("Pages of this origin may not open sockets here.", code="foreign-origin")
        if len(self._hub) >= self._settings.connections:
            raise Unavailable(
                "There are too many connections.", code="too-many-connections", retry_after=RETRY_SECONDS
            )
        if not self._revocations.is_fresh():
            raise Unavailable("Revocations are not up to date.", retry_after=RETRY_SECONDS)
        ticket = await self._tickets.redeem(_ticket_in(request))
        if ticket is None:
            raise Unauthenticated("The ticket is unknown, used or expired.", code="ticket-refused")
        request.principal = Principal(ticket.user_id, ticket.session_id)  # for the access log
        visitor = self._admit(ticket, handshake.deflate)
        return Response(101, accepting_fields(handshake), upgrade=visitor)

    def _admit(self, ticket: Ticket, deflate: Deflate | None) -> Visitor:
        if self._hub.count_under((Kind.USER, ticket.user_id)) >= self._settings.connections_per_user:
            most = self._settings.connections_per_user
            raise TooManyRequests(f"A user may have {most} connections here.", code="too-many-connections")
        settings = self._settings
        visitor = Visitor(
            _who(ticket),
            ticket.session_expires_ms,
            WebSocket(settings.socket, deflate),
            self._hub,
            self._rooms,
            settings.reconnect_spread,
        )
        self._hub.add(visitor, keys_of(visitor.who))
        if self._revocations.refuses(_claims(ticket)):
            self._hub.remove(visitor)
            raise Unauthenticated("The session has ended.", code="session-ended")
        return visitor


def _ticket_in(request: Request) -> str:
    """The one that the query names; nothing is as good as several."""
    tickets = parse_qs(request.target.partition("?")[2]).get("ticket", [])
    return tickets[0] if len(tickets) == 1 else ""


def _who(ticket: Ticket) -> Who:
    return Who(
        ticket.user_id,
        ticket.display_name,
        ticket.session_id,
        ticket.token_id,
        ticket.roles,
        ticket.issued_at_ms,
    )


def _claims(ticket: Ticket) -> Claims:
    """As much of the token that the ticket was got with as a revocation can name."""
    return Claims(
        subject=ticket.user_id,
        session_id=ticket.session_id,
        token_id=ticket.token_id,
        client_id="",
        key_id="",
        issuer="",
        audience=(),
        issued_at=ticket.issued_at_ms / 1000,
        not_before=0,
        expires=ticket.session_expires_ms / 1000,
    )
