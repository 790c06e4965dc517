"""An HTTP client that keeps its connection and looks at the clock."""

import http.client
import json
from dataclasses import dataclass
from time import perf_counter
from types import TracebackType
from urllib.parse import urlsplit

PATIENCE_SECONDS = 60.0
OK = 200


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, read to its end."""

    status: int
    seconds: float  # from the request's first byte to the answer's last
    retry_after: float  # seconds; 0 when the server does not say
    body: bytes


class Client:
    """Asks one server, one request after another. OSError and http.client.HTTPException when that fails."""

    def __init__(self, origin: str, token: str | None = None) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(origin).netloc, timeout=PATIENCE_SECONDS)
        self._token = token

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def get(self, target: str) -> Reply:
        """A plain GET."""
        return self._ask("GET", target, None)

    def post(self, target: str, body: object) -> Reply:
        """POST of a JSON body."""
        return self._ask("POST", target, json.dumps(body).encode())

    def close(self) -> None:
        """Drop the connection; the next request opens another."""
        self._connection.close()

    def _ask(self, method: str, target: str, body: bytes | None) -> Reply:
        headers = {} if body is None else {"Content-Type": "application/json"}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        began = perf_counter()
        self._connection.request(method, target, body, headers)
        response = self._connection.getresponse()
        content = response.read()
        seconds = perf_counter() - began
        return Reply(response.status, seconds, float(response.getheader("Retry-After", "0")), content)


def log_in(client: Client, email: str, password: str) -> Reply:
    """One attempt to log in."""
    return client.post("/auth/login", {"email": email, "password": password})
