"""JSON bodies: every bad field is named."""

from typing import Annotated

import msgspec
import pytest

from shared.errors import Invalid, Malformed
from shared.http.decoding import read_json
from shared.http.messages import Headers, Request
from shared.http.problems import HTTPError


class Price(msgspec.Struct):
    amount: Annotated[int, msgspec.Meta(ge=0)]
    currency: str


class Item(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(min_length=1)]
    price: Price
    tags: list[str] = []


class Content:
    def __init__(self, content: bytes) -> None:
        self.content = content
        self.length = len(content)

    def __aiter__(self) -> object:
        raise AssertionError("not used")

    async def read(self, limit: int) -> bytes:
        return self.content


async def read(content: bytes, media_type: str = "application/json") -> Item:
    headers = Headers([("Content-Type", media_type)])
    return await read_json(Request("POST", "/", headers, Content(content)), Item)  # type: ignore[arg-type]


async def test_a_good_document_becomes_a_value() -> None:
    item = await read(
        b'{"name":"a","price":{"amount":1,"currency":"KRW"}}', "application/json; charset=utf-8"
    )
    assert item == Item("a", Price(1, "KRW"))


async def test_every_bad_field_is_named_with_its_path() -> None:
    with pytest.raises(Invalid) as refused:
        await read(b'{"name":"","price":{"amount":true},"tags":["a",1]}')
    assert {each.field for each in refused.value.fields} == {
        "name",
        "price.amount",
        "price.currency",
        "tags[1]",
    }


@pytest.mark.parametrize("document", [b"[]", b"null", b'"x"', b"{}", b'{"name":"a","price":[]}'])
async def test_documents_of_the_wrong_shape_are_invalid(document: bytes) -> None:
    with pytest.raises(Invalid):
        await read(document)


@pytest.mark.parametrize("document", [b"[" * 30_000, b'{"a":' * 30_000])
async def test_deep_nesting_is_malformed(document: bytes) -> None:
    with pytest.raises(Malformed):
        await read(document)


async def test_an_answer_is_not_many_times_larger_than_the_request() -> None:
    unknown = b",".join(b'"%d":1' % number for number in range(20_000))
    with pytest.raises(Invalid) as refused:
        await read(b'{"name":"","price":1,' + unknown + b',"' + b"x" * 100_000 + b'":1}')
    assert len(refused.value.fields) <= 50
    assert max(len(each.field) for each in refused.value.fields) <= 100


@pytest.mark.parametrize("document", [b"", b"{", b'{"name":"\xff"}', b"{} {}"])
async def test_what_is_no_json_is_malformed(document: bytes) -> None:
    with pytest.raises(Malformed):
        await read(document)


async def test_other_media_types_are_refused() -> None:
    with pytest.raises(HTTPError) as refused:
        await read(b"{}", "text/plain")
    assert refused.value.status == 415
