"""JSON bodies: every bad field is named."""

from collections.abc import Sequence
from typing import Annotated, TypeVar
from uuid import UUID

import msgspec
import pytest

from shared.errors import FieldError, Invalid, Malformed
from shared.http.decoding import NO_RULES, Rules, read_json
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


T = TypeVar("T", bound=msgspec.Struct)


async def read(content: bytes, media_type: str = "application/json") -> Item:
    return await read_as(Item, content, media_type=media_type)


async def read_as(
    type_: type[T], content: bytes, rules: Rules = NO_RULES, media_type: str = "application/json"
) -> T:
    request = Request("POST", "/", Headers([("Content-Type", media_type)]), Content(content))  # type: ignore[arg-type]
    return await read_json(request, type_, rules)


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


# Lists of structs


class Part(msgspec.Struct):
    colour: str
    size: int = 1


class Line(msgspec.Struct, forbid_unknown_fields=True):
    product_id: UUID
    quantity: int
    price: Price | msgspec.UnsetType = msgspec.UNSET
    parts: list[Part] = []


class Basket(msgspec.Struct, forbid_unknown_fields=True):
    lines: list[Line]
    gifts: list[Line] = []
    note: str = ""


TEA = {"product_id": str(UUID(int=1)), "quantity": 2}


def few(items: Sequence[object]) -> str | None:
    return None if 1 <= len(items) <= 3 else "Must be 1 to 3"


def positive(number: int) -> str | None:
    return None if number > 0 else "Must be above 0"


RULES: Rules = {
    "lines": few,
    "lines[].quantity": positive,
    "lines[].price.amount": positive,
    "lines[].parts[].size": positive,
}


async def read_basket(document: object) -> Basket:
    return await read_as(Basket, msgspec.json.encode(document), RULES)


async def faults(document: object) -> list[FieldError]:
    with pytest.raises(Invalid) as refused:
        await read_basket(document)
    return [*refused.value.fields]


async def test_a_good_list_becomes_values() -> None:
    priced = TEA | {"price": {"amount": 1, "currency": "KRW"}, "parts": [{"colour": "red"}, {"colour": ""}]}
    assert await read_basket({"lines": [TEA, priced], "note": "x"}) == Basket(
        [Line(UUID(int=1), 2), Line(UUID(int=1), 2, Price(1, "KRW"), [Part("red"), Part("")])], [], "x"
    )


@pytest.mark.parametrize(
    ("lines", "fields"),
    [
        ([{}], ["lines[0].product_id", "lines[0].quantity"]),
        ([TEA, TEA | {"quantity": "2"}], ["lines[1].quantity"]),
        (
            [TEA | {"product_id": "tea"}, TEA, TEA | {"quantity": 0}],
            ["lines[0].product_id", "lines[2].quantity"],
        ),
        ([TEA | {"colour": "red"}], ["lines[0].colour"]),
        ([None, TEA, []], ["lines[0]", "lines[2]"]),
        ([TEA | {"price": {"amount": 0}}], ["lines[0].price.amount", "lines[0].price.currency"]),
        ([TEA | {"price": []}], ["lines[0].price"]),
        (
            [TEA, TEA | {"parts": [{"colour": "red"}, {"colour": 1, "size": 0}]}],
            ["lines[1].parts[1].colour", "lines[1].parts[1].size"],
        ),
        ([TEA | {"parts": {}}], ["lines[0].parts"]),
    ],
)
async def test_each_bad_item_is_named_with_its_index(lines: object, fields: list[str]) -> None:
    assert [each.field for each in await faults({"lines": lines})] == fields


@pytest.mark.parametrize("lines", [None, {}, TEA, "tea", 7, {"0": TEA}])
async def test_what_is_no_list_is_refused_as_a_whole(lines: object) -> None:
    assert await faults({"lines": lines}) == [FieldError("lines", "Expected `array`")]
    assert await faults({"lines": [TEA], "gifts": lines}) == [FieldError("gifts", "Expected `array`")]


async def test_a_list_has_a_rule_of_its_own() -> None:
    assert await faults({"lines": []}) == [FieldError("lines", "Must be 1 to 3")]
    assert await faults({"lines": [TEA, 7, TEA, TEA | {"quantity": -1}]}) == [
        FieldError("lines", "Must be 1 to 3"),
        FieldError("lines[1]", "Expected `object`"),
        FieldError("lines[3].quantity", "Must be above 0"),
    ]
    assert await faults({}) == [FieldError("lines", "Field is required")]


async def test_a_rule_is_for_the_list_that_it_names() -> None:
    read = await read_basket({"lines": [TEA], "gifts": [TEA | {"quantity": -1}] * 4})
    assert len(read.gifts) == 4


async def test_what_an_item_calls_itself_chooses_no_rule() -> None:
    assert await faults({"lines": [TEA], "lines[0].quantity": 0}) == [
        FieldError("lines[0].quantity", "Unknown field")
    ]


async def test_a_long_list_of_faults_is_cut() -> None:
    found = await faults({"lines": [{}] * 10_000})
    assert len(found) == 50
    assert found[0] == FieldError("lines", "Must be 1 to 3")
