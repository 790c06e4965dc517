"""A client's credentials: every spelling that the RFCs allow, and none besides."""

import base64
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.domain.clients import ClientCredentials
from services.auth.handler.client_credentials import OAuthError, basic_credentials, credentials_of
from shared.http.messages import Headers

any_text = st.text(st.characters(exclude_categories=["Cs"]))
ALICE = ClientCredentials("alice", "secret")


def basic(text: str, scheme: str = "Basic") -> str:
    return f"{scheme} {base64.b64encode(text.encode()).decode()}"


@given(any_text, any_text, st.sampled_from([quote, quote_plus]), st.sampled_from(["Basic", "basic", "BASIC"]))
def test_whatever_a_client_encodes_is_read_as_it_was_meant(
    client_id: str, client_secret: str, encode: Callable[[str], str], scheme: str
) -> None:
    read = basic_credentials(basic(f"{encode(client_id)}:{encode(client_secret)}", scheme))
    assert (read.client_id, read.client_secret) == (client_id, client_secret)


@given(st.text(st.characters(max_codepoint=255)))
def test_a_field_is_read_or_refused_and_nothing_worse(field: str) -> None:
    with suppress(OAuthError):
        assert credentials_of(Headers([("Authorization", field)]), {}) == basic_credentials(field)


@given(st.binary())
def test_rubbish_inside_is_read_or_refused_and_nothing_worse(rubbish: bytes) -> None:
    with suppress(OAuthError):
        basic_credentials(f"Basic {base64.b64encode(rubbish).decode()}")
        assert b":" in rubbish


@pytest.mark.parametrize(
    "field",
    [
        "",
        "Basic",
        "Basic ",
        "Bearer abc",
        "Basic %",
        "Basic YWxpY2U",  # padding is missing
        "Basic YWxp-_U=",  # another alphabet
        basic("alice"),  # no colon
        basic("alice:sécret"),  # not form-encoded
        basic("alice:100%"),
        basic("alice:%ff"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_challenge(field: str) -> None:
    with pytest.raises(OAuthError) as refused:
        credentials_of(Headers([("Authorization", field)]), {})
    assert refused.value.status == 401
    assert refused.value.members["error"] == "invalid_client"
    assert dict(refused.value.headers)["WWW-Authenticate"] == 'Basic realm="plainstack"'


@pytest.mark.parametrize(
    ("fields", "form"),
    [
        ([("Authorization", basic("alice:secret"))], {}),
        ([("Authorization", basic("alice:secret"))], {"client_id": "alice", "client_secret": ""}),
        ([], {"client_id": "alice", "client_secret": "secret"}),
    ],
)
def test_the_two_ways(fields: list[tuple[str, str]], form: dict[str, str]) -> None:
    assert credentials_of(Headers(fields), form) == ALICE


@pytest.mark.parametrize("form", [{}, {"client_id": "alice"}, {"client_secret": "secret"}])
def test_without_credentials(form: dict[str, str]) -> None:
    with pytest.raises(OAuthError) as refused:
        credentials_of(Headers([]), form)
    assert refused.value.status == 401


@pytest.mark.parametrize(
    ("fields", "form"),
    [
        ([basic("alice:secret")], {"client_id": "alice", "client_secret": "secret"}),
        ([basic("alice:secret")], {"client_secret": "secret"}),
        ([basic("alice:secret")], {"client_id": "bob"}),
        ([basic("alice:secret"), basic("alice:secret")], {}),
    ],
)
def test_several_ways_at_once(fields: list[str], form: dict[str, str]) -> None:
    headers = Headers([("Authorization", field) for field in fields])
    with pytest.raises(OAuthError) as refused:
        credentials_of(headers, form)
    assert (refused.value.status, refused.value.members["error"]) == (400, "invalid_request")


def test_a_secret_is_in_no_repr() -> None:
    assert "secret" not in repr(ALICE).replace("client_secret", "")
