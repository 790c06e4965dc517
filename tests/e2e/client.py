"""A small HTTP client on the standard library: it returns what the server said, whatever the status."""

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, read to its end."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


class Client:
    """Sends requests to one origin, each on a connection of its own."""

    def __init__(self, origin: str, seconds: float = 10.0) -> None:
        self.origin = origin
        self._host = urlsplit(origin).netloc
        self._seconds = seconds

    def request(
        self,
        method: str,
        target: str,
        *,
        json_body: object = None,
        body: bytes | None = None,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """`json_body` is encoded, `body` is sent as it is; `token` becomes the bearer token."""
        fields = dict(headers or {})
        if json_body is not None:
            body = json.dumps(json_body).encode()
            fields.setdefault("Content-Type", "application/json")
        if token is not None:
            fields["Authorization"] = f"Bearer {token}"
        connection = http.client.HTTPConnection(self._host, timeout=self._seconds)
        try:
            connection.request(method, target, body=body, headers=fields)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def get(self, target: str, *, token: str | None = None) -> Answer:
        """A plain GET."""
        return self.request("GET", target, token=token)

    def post(self, target: str, json_body: object = None, *, token: str | None = None) -> Answer:
        """POST of a JSON body."""
        return self.request("POST", target, json_body=json_body, token=token)
