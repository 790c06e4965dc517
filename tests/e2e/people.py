"""People with an account and a session, who are answered in the end, whatever dies meanwhile."""

import secrets
from collections.abc import Mapping
from typing import Any

from scripts.support.load.patient_client import Answer, PatientClient

PASSWORD = "correct horse battery staple"
OK, CREATED, UNAUTHORIZED, TAKEN = 200, 201, 401, 409


class LoggedOut(Exception):
    """The session has ended."""


class Person:
    """Somebody who is logged in."""

    def __init__(self, client: PatientClient, account: Mapping[str, str]) -> None:
        self.email = account["email"]
        self.user_id = ""
        self._client = client
        self._account = account
        self._tokens: Mapping[str, Any] = {}

    @classmethod
    async def new(cls, client: PatientClient, name: str) -> "Person":
        """With an account of that name, made now."""
        account = {"email": f"{name.lower()}-{secrets.token_hex(6)}@example.com", "password": PASSWORD}
        made = await client.ask("POST", "/auth/signup", {**account, "display_name": name})
        assert made.status in (CREATED, TAKEN), made  # taken by ourselves, when an answer was lost
        return await cls(client, account).logged_in()

    async def logged_in(self) -> "Person":
        """The same, in a new session."""
        login = await self._client.ask("POST", "/auth/login", self._account)
        assert login.status == OK, login
        person = Person(self._client, self._account)
        person._tokens = login.document
        person.user_id = (await person.ask("GET", "/auth/me")).document["user_id"]
        return person

    async def refresh(self) -> None:
        """New tokens for the same session. Raises LoggedOut."""
        form = {"refresh_token": self._tokens["refresh_token"]}
        answer = await self._client.ask("POST", "/auth/refresh", form)
        if answer.status != OK:
            raise LoggedOut
        self._tokens = answer.document

    async def ask(self, method: str, target: str, body: object = None) -> Answer:
        """What the session's access token is answered, whatever that is."""
        fields = {
            "Authorization": f"Bearer {self._tokens['access_token']}",
            "Idempotency-Key": secrets.token_hex(8),
        }
        return await self._client.ask(method, target, body, fields)

    async def ticket(self) -> str:
        """For one WebSocket. Raises LoggedOut."""
        answer = await self.ask("POST", "/ws/tickets")
        if answer.status == UNAUTHORIZED:
            await self.refresh()
            answer = await self.ask("POST", "/ws/tickets")
        assert answer.status == CREATED, answer
        return str(answer.document["ticket"])

    async def make_room(self, *members: "Person", private: bool = True) -> str:
        """A new room to which they belong; its identifier."""
        made = await self.ask("POST", "/chat/rooms", {"name": "A room", "private": private})
        assert made.status == CREATED, made
        room_id = str(made.document["room_id"])
        for each in members:
            await self.ask("PUT", f"/chat/rooms/{room_id}/members/{each.user_id}")
        return room_id
