"""What is kept of a client, and what its name must be like."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.domain.clients import client_name_fault, is_secret, secret_digest


@given(st.text(), st.text())
def test_only_the_secret_itself_has_its_digest(one: str, other: str) -> None:
    assert is_secret(one, secret_digest(one))
    assert is_secret(other, secret_digest(one)) == (one == other)


@given(st.text())
def test_without_a_digest_nothing_is_the_secret(text: str) -> None:
    assert not is_secret(text, None)


@pytest.mark.parametrize("name", ["a", "Lager Süd", "x" * 100, " blanks around it "])
def test_names(name: str) -> None:
    assert client_name_fault(name) is None


@pytest.mark.parametrize("name", ["", " ", "x" * 101, "a\nb", "a\x1b[2J", "a" + "\u0301\u0316" * 250_000])
def test_names_that_are_none(name: str) -> None:
    assert client_name_fault(name)
