"""Tickets over HTTP."""

import msgspec

from services.auth.domain.tickets import TICKET_LIFETIME
from services.auth.handler.caller import caller
from services.auth.service.tickets import TicketService
from shared.http.decoding import read_json
from shared.http.messages import NO_STORE, Request, Response, json_response


class TicketBody(msgspec.Struct, forbid_unknown_fields=True):
    """What `POST /ws/tickets` takes, if anything: an object without members."""


class TicketHandler:
    """One method a row."""

    def __init__(self, tickets: TicketService, ws_url: str) -> None:
        self._tickets = tickets
        self._ws_url = ws_url

    async def issue(self, request: Request) -> Response:
        """A new ticket, and where to use it."""
        user_id, session_id = caller(request.principal)
        if request.body.length != 0:
            await read_json(request, TicketBody)
        ticket = await self._tickets.issue(user_id, session_id, request.principal.token_id)
        document = {
            "ticket": ticket,
            "expires_in": int(TICKET_LIFETIME.total_seconds()),
            "url": f"{self._ws_url}?ticket={ticket}",
        }
        return json_response(201, document, [NO_STORE])
