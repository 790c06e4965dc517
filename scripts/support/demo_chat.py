"""The part of the demo that is played in a chat room: two talk, one is away a while and misses nothing."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from scripts.support.conversation import Conversation, require
from scripts.support.demo_sockets import DemoSocket, Frame, Sockets

SESSION_ENDED = 4401  # the close code
UNAUTHENTICATED = 401
LOGOUT_BITES_SECONDS = 5.0  # far more than the gateways need


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is logged in."""

    name: str
    user_id: str
    token: str = field(repr=False)


class ChatDemo:
    """Continues the story of whoever has `token`, and is called Ada; `step` announces what comes next."""

    def __init__(
        self, gateway: Conversation, sockets: Sockets, token: str, step: Callable[[str], None]
    ) -> None:
        self._gateway = gateway
        self._sockets = sockets
        self._ada_token = token
        self._step = step

    def run(self) -> None:
        """Surprise when anything is not as it should be."""
        bob = self._meet_bob()
        room = self._make_room(bob)
        ada_socket, bob_socket = self._connect(bob)
        self._talk(room, ada_socket, bob_socket)
        bob_socket.hang_up()
        bob_socket = self._miss_two(room, ada_socket, bob)
        self._delete(room, ada_socket, bob_socket)
        self._log_out(bob, bob_socket)

    def _meet_bob(self) -> Person:
        self._step("Somebody to talk to")
        login = {"email": f"demo-{secrets.token_hex(4)}@example.com", "password": secrets.token_urlsafe(16)}
        made = self._gateway.expect(201, "POST", "/auth/signup", {**login, "display_name": "Bob"})
        token = self._gateway.expect(200, "POST", "/auth/login", login).member("access_token")
        return Person("Bob", made.member("user_id"), token)

    def _make_room(self, bob: Person) -> str:
        self._step("Ada makes a private room: to Bob there is no such thing, until he is invited")
        wish = {"name": "Demo", "private": True}
        made = self._gateway.expect(201, "POST", "/chat/rooms", wish, token=self._ada_token)
        room = f"/chat/rooms/{made.member('room_id')}"
        self._gateway.expect(404, "GET", f"{room}/messages", token=bob.token)
        self._gateway.expect(204, "PUT", f"{room}/members/{bob.user_id}", token=self._ada_token)
        self._gateway.expect(200, "GET", f"{room}/messages", token=bob.token)
        return str(made.member("room_id"))

    def _connect(self, bob: Person) -> tuple[DemoSocket, DemoSocket]:
        self._step("A ticket opens a WebSocket, and is good for one use")
        ticket = self._gateway.expect(201, "POST", "/ws/tickets", token=self._ada_token)
        ada_socket = self._sockets.connect("Ada", ticket.member("url"))
        status = self._sockets.expect_refusal(ticket.member("url"))
        require(status == UNAUTHENTICATED, "nobody gets in with a ticket that was used")
        return ada_socket, self._sockets.open(bob.name, self._gateway, bob.token)

    def _talk(self, room: str, ada_socket: DemoSocket, bob_socket: DemoSocket) -> None:
        self._step("What one of them says, both hear, and in the same order")
        for socket in (ada_socket, bob_socket):
            socket.ask("subscribe", "subscribed", room=room, after=0)
        ada_socket.ask("post", "posted", room=room, key="ada-1", text="Tea?")
        bob_socket.ask("post", "posted", room=room, key="bob-1", text="Gladly.")
        for socket in (ada_socket, bob_socket):
            heard = [socket.hear("message") for _ in range(2)]
            require(_said(heard) == [(1, "Tea?"), (2, "Gladly.")], "both are there, in order")
        self._step("Said again under its key, because the answer might have been lost: it has been said once")
        again = bob_socket.ask("post", "posted", room=room, key="bob-1", text="Gladly.")
        require(again["seq"] == 2, "it is the same message")  # noqa: PLR2004

    def _miss_two(self, room: str, ada_socket: DemoSocket, bob: Person) -> DemoSocket:
        """Bob's new socket."""
        self._step("Bob is away while Ada goes on; he names the last message he saw, and gets what he missed")
        for number, text in ((2, "Milk?"), (3, "Sugar?")):
            ada_socket.ask("post", "posted", room=room, key=f"ada-{number}", text=text)
        socket = self._sockets.open(bob.name, self._gateway, bob.token)
        back = socket.ask("subscribe", "subscribed", room=room, after=2)
        require(back["recovered"] is True, "the gateway says that this is all")
        require(_said(back["messages"]) == [(3, "Milk?"), (4, "Sugar?")], "it is these two, and no other")
        return socket

    def _delete(self, room: str, ada_socket: DemoSocket, bob_socket: DemoSocket) -> None:
        self._step("Ada takes one back: both hear of it, and its number stays")
        self._gateway.expect(204, "DELETE", f"/chat/rooms/{room}/messages/3", token=self._ada_token)
        for socket in (ada_socket, bob_socket):
            require(socket.hear("deleted")["seq"] == 3, "it is this one")  # noqa: PLR2004
        page = self._gateway.expect(200, "GET", f"/chat/rooms/{room}/messages?after=2", token=self._ada_token)
        require(_said(page.member("items")) == [(3, ""), (4, "Sugar?")], "nobody can read it any more")

    def _log_out(self, bob: Person, bob_socket: DemoSocket) -> None:
        self._step("Bob logs out: his socket is closed, although it asked for nothing")
        self._gateway.expect(204, "POST", "/auth/logout", token=bob.token)
        started = time.perf_counter()
        closed = bob_socket.until_closed()
        seconds = time.perf_counter() - started
        print(f"   Bob ← closed: {closed}, at most {seconds * 1000:.0f} ms after the 204\n", flush=True)
        require(closed.code == SESSION_ENDED, f"the close code is {SESSION_ENDED}")
        require(seconds < LOGOUT_BITES_SECONDS, "a logout bites at once")


def _said(messages: list[Frame]) -> list[tuple[int, str]]:
    return [(message["seq"], message["text"]) for message in messages]
