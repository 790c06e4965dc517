"""Forms: read in one way or not at all."""

from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import Malformed
from shared.http.forms import MAX_PARAMETERS, decode_component, parse_form, read_form
from shared.http.messages import Headers, Request, WholeBody
from shared.http.problems import HTTPError

any_text = st.text(st.characters(exclude_categories=["Cs"]))  # what UTF-8 can spell


@given(st.dictionaries(any_text, any_text, max_size=MAX_PARAMETERS))
def test_what_others_encode_is_read_as_it_was_meant(parameters: dict[str, str]) -> None:
    assert parse_form(urlencode(parameters)) == parameters


@given(st.text())
def test_anything_else_is_malformed_and_nothing_worse(text: str) -> None:
    try:
        read = parse_form(text)
    except Malformed:
        return
    assert parse_form(urlencode(read)) == read  # what it means can be said again


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("", {}),
        ("a=1&b=2", {"a": "1", "b": "2"}),
        ("a=&b", {"a": "", "b": ""}),
        ("&a=1&&", {"a": "1"}),
        ("a=1=2", {"a": "1=2"}),
        ("a=b+c%2Bd%26e%3D", {"a": "b c+d&e="}),
        ("%61=%C3%A9", {"a": "é"}),
        ("a=%2541", {"a": "%41"}),  # decoded once
    ],
)
def test_examples(text: str, parameters: dict[str, str]) -> None:
    assert parse_form(text) == parameters


@pytest.mark.parametrize(
    "text",
    ["a=1&a=2", "a=1&%61=1", "a=1&a", "a=%", "a=%4", "a=%zz", "a=%ff", "a=é", "a=b c", "a=\x00", "a=\n"],
)
def test_what_decoders_disagree_about_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        parse_form(text)


def test_the_number_of_parameters_is_bounded() -> None:
    assert len(parse_form("&".join(f"a{number}" for number in range(MAX_PARAMETERS)))) == MAX_PARAMETERS
    with pytest.raises(Malformed):
        parse_form("&".join(f"a{number}" for number in range(MAX_PARAMETERS + 1)))


def test_an_encoded_nul_is_a_character() -> None:
    assert decode_component("%00") == "\0"


def form_request(content: bytes, *fields: tuple[str, str]) -> Request:
    return Request("POST", "/", Headers(list(fields)), WholeBody(content))


async def test_the_media_type() -> None:
    named = ("Content-Type", "Application/X-WWW-Form-URLencoded; charset=UTF-8")
    assert await read_form(form_request(b"a=1", named)) == {"a": "1"}
    assert await read_form(form_request(b"a=1")) == {"a": "1"}
    with pytest.raises(HTTPError) as refused:
        await read_form(form_request(b"{}", ("Content-Type", "application/json")))
    assert refused.value.status == 415


async def test_octets_that_are_no_text_are_malformed() -> None:
    with pytest.raises(Malformed):
        await read_form(form_request(b"a=\xc3\xa9"))
