from collections.abc import AsyncIterator

import pytest

from shared.http.messages import Headers, Request, Response
from shared.http.problems import PayloadTooLarge
from shared.middleware.body_limit import body_limit


class Body:
    def __init__(self, *pieces: bytes, length: int | None = None) -> None:
        self.length = length
        self.given = 0
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            self.given += 1
            yield piece

    async def read(self, limit: int) -> bytes:
        content = b"".join(self._pieces)
        if len(content) > limit:
            raise PayloadTooLarge(limit)
        return content


async def copy(request: Request) -> Response:
    return Response(200, body=b"".join([piece async for piece in request.body]))


async def read(request: Request) -> Response:
    return Response(200, body=await request.body.read(1000))


async def test_what_is_announced_too_long_is_refused_unread() -> None:
    body = Body(b"12345", length=5)
    with pytest.raises(PayloadTooLarge):
        await body_limit(4)(copy)(Request("POST", "/", Headers([]), body))
    assert body.given == 0


@pytest.mark.parametrize("length", [5, None])
async def test_what_fits_passes(length: int | None) -> None:
    response = await body_limit(5)(copy)(
        Request("POST", "/", Headers([]), Body(b"123", b"45", length=length))
    )
    assert response.body == b"12345"


async def test_what_comes_unannounced_is_counted() -> None:
    body = Body(b"123", b"45", b"6", b"7")
    with pytest.raises(PayloadTooLarge):
        await body_limit(5)(copy)(Request("POST", "/", Headers([]), body))
    assert body.given == 3


async def test_reading_all_keeps_to_the_limit_too() -> None:
    with pytest.raises(PayloadTooLarge):
        await body_limit(5)(read)(Request("POST", "/", Headers([]), Body(b"123456")))
    assert (await body_limit(6)(read)(Request("POST", "/", Headers([]), Body(b"123456")))).body == b"123456"


async def test_zero_is_no_limit() -> None:
    assert body_limit(0)(copy) is copy
