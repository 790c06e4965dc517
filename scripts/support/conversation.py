"""HTTP exchanges that can be read: request and answer are printed, secrets shortened, surprises raised."""

import http.client
import json
import re
import textwrap
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

ANSWER_SECONDS = 15.0
USER_AGENT = "plainstack-demo"
SHOWN_REQUEST_HEADERS = (
    "Authorization",
    "If-Match",
    "If-None-Match",
    "Idempotency-Key",
    "Prefer",
    "X-Authenticated-User-ID",
)
SHOWN_ANSWER_HEADERS = ("Location", "ETag", "Preference-Applied", "Retry-After", "WWW-Authenticate")
SHOWN_ITEMS = 3  # of a list
WIDTH = 108

_SECRET_MEMBER = re.compile("password|secret|otpauth|recovery|ticket")
_TICKET_IN_URL = re.compile(r"(?<=ticket=)[\w-]+")
_LONG_SECRET = re.compile(r"[\w-]{16,}\.[\w-]{16,}\.[\w-]{16,}")  # a JWT (RFC 7519)


class Surprise(Exception):
    """An answer that is not what the contract says."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, read to its end, and the milliseconds it took."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes
    milliseconds: float

    @property
    def json(self) -> Any:
        """The body, decoded; Surprise when it is no JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise Surprise("the body is not JSON") from None

    def member(self, name: str) -> Any:
        """One member of the body, which is an object; Surprise when there is no such thing."""
        body = self.json
        if not isinstance(body, dict) or name not in body:
            raise Surprise(f"the body has no member {name!r}")
        return body[name]

    def header(self, name: str) -> str:
        """Surprise when it is missing."""
        if (value := self.headers[name]) is None:
            raise Surprise(f"the header {name} is missing")
        return str(value)

    def bad_fields(self) -> set[str]:
        """The fields that a problem of status 422 names."""
        errors = self.member("errors")
        return {str(each.get("field")) for each in errors if isinstance(each, dict)}


def require(holds: bool, what: str) -> None:
    """Raises Surprise unless `what` is so."""
    if not holds:
        raise Surprise(f"not so: {what}")


class Conversation:
    """A client's exchanges with one origin."""

    def __init__(self, origin: str) -> None:
        self.origin = origin

    def expect(
        self,
        status: int,
        method: str,
        target: str,
        body: object = None,
        *,
        token: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """As `exchange`; Surprise when the answer's status is not `status`."""
        answer = self.exchange(method, target, body, token=token, headers=headers)
        if answer.status != status:
            raise Surprise(f"expected {status}, got {answer.status}")
        return answer

    def exchange(
        self,
        method: str,
        target: str,
        body: object = None,
        *,
        token: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send the request, print it and the answer, and return that, whatever it says."""
        fields = {**(headers or {}), **({"Authorization": f"Bearer {token}"} if token else {})}
        print(_shown_request(method, target, fields, body), flush=True)
        answer = self.send(method, target, body, fields)
        print(_shown_answer(answer), flush=True)
        return answer

    def send(self, method: str, target: str, body: object, headers: Mapping[str, str]) -> Answer:
        """One exchange on a connection of its own, not printed. Surprise when there is no answer."""
        content = None if body is None else json.dumps(body).encode()
        fields = {"User-Agent": USER_AGENT, **headers}
        if content is not None:
            fields["Content-Type"] = "application/json"
        connection = http.client.HTTPConnection(urlsplit(self.origin).netloc, timeout=ANSWER_SECONDS)
        started = time.perf_counter()
        try:
            connection.request(method, target, body=content, headers=fields)
            response = connection.getresponse()
            received = response.read()
        except (OSError, http.client.HTTPException) as failure:
            raise Surprise(f"{self.origin} does not answer: {failure}") from failure
        finally:
            connection.close()
        return Answer(response.status, response.headers, received, (time.perf_counter() - started) * 1000)


def _shown_request(method: str, target: str, headers: Mapping[str, str], body: object) -> str:
    lines = [f"→ {method} {target}"]
    lines += [f"  {name}: {_shortened(headers[name])}" for name in SHOWN_REQUEST_HEADERS if name in headers]
    return _indented([*lines, *_shown_body(body)])


def _shown_answer(answer: Answer) -> str:
    reason = http.client.responses.get(answer.status, "")
    lines = [f"← {answer.status} {reason}  ({answer.milliseconds:.0f} ms)"]
    lines += [f"  {name}: {answer.headers[name]}" for name in SHOWN_ANSWER_HEADERS if name in answer.headers]
    return _indented([*lines, *_shown_body(answer.json if _is_json(answer) else None)]) + "\n"


def _is_json(answer: Answer) -> bool:
    return bool(answer.body) and "json" in answer.headers.get("Content-Type", "")


def _shown_body(body: object) -> list[str]:
    if body is None:
        return []
    text = json.dumps(_abridged(body), ensure_ascii=False)
    return [f"  {line}" for line in textwrap.wrap(_shortened(text), WIDTH, break_on_hyphens=False)]


def _abridged(value: object) -> object:
    """`value` without what nobody else may see, and with the first few of a long list."""
    if isinstance(value, dict):
        return {key: "…" if _SECRET_MEMBER.search(key) else _abridged(each) for key, each in value.items()}
    if isinstance(value, list):
        more = [f"… {len(value) - SHOWN_ITEMS} more"] if len(value) > SHOWN_ITEMS else []
        return [*map(_abridged, value[:SHOWN_ITEMS]), *more]
    return value


def _shortened(text: str) -> str:
    without_tickets = _TICKET_IN_URL.sub("…", text)
    return _LONG_SECRET.sub(lambda found: f"{found[0][:8]}…({len(found[0])} characters)", without_tickets)


def _indented(lines: list[str]) -> str:
    return textwrap.indent("\n".join(lines), "   ")
