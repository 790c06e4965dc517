"""The client that does not give up, against servers that play a script."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from scripts.support.load import patient_client
from scripts.support.load.patient_client import GaveUp, PatientClient
from tests.shared.http.raw import RawClient, scripted_server

ANSWER = b'{"order_id": "a"}'
CREATED = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 17\r\n\r\n" + ANSWER
AWAY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
IN_USE = b"HTTP/1.1 409 Conflict\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n"
TOO_LATE = b"HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\n\r\n"
BODY: dict[str, list[str]] = {"items": []}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patient_client, "FIRST_PAUSE_SECONDS", 0.001)


@asynccontextmanager
async def asking(*answers: bytes, patience: float = 5.0) -> AsyncIterator[tuple[PatientClient, list[bytes]]]:
    """A client, and the keys under which it has asked a server that gives `answers`; b"" is none."""
    seen, left = list[bytes](), iter(answers)

    async def play(connection: RawClient) -> None:
        while True:
            head = await connection.read_head()
            await connection.read_exactly(len(b'{"items": []}'))
            seen.append(head.partition(b"Idempotency-Key: ")[2].partition(b"\r")[0])
            if not (answer := next(left, b"")):
                return
            connection.send(answer)

    async with scripted_server(play) as origin:
        client = PatientClient(origin, 1, patience)
        try:
            yield client, seen
        finally:
            await client.close()


async def test_what_gets_no_answer_is_asked_again_under_its_key() -> None:
    async with asking(b"", AWAY, IN_USE, CREATED) as (client, seen):
        answer = await client.ask("POST", "/orders", BODY, {"Idempotency-Key": "k"})
    assert (answer.status, answer.document) == (201, {"order_id": "a"})
    assert seen == [b"k"] * 4
    assert client.retries == {"no answer": 1, "503": 1, "409": 1}


async def test_a_refusal_is_an_answer() -> None:
    async with asking(TOO_LATE) as (client, seen):
        assert (await client.ask("POST", "/orders/a/cancel", BODY)).status == 409
    assert len(seen) == 1


async def test_even_its_patience_ends() -> None:
    async with asking(patience=0.01) as (client, _):
        with pytest.raises(GaveUp, match="no answer"):
            await client.ask("POST", "/orders", BODY)
