import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import base64url


@given(st.binary())
def test_octets_read_back(octets: bytes) -> None:
    text = base64url.encode(octets)
    assert base64url.decode(text) == octets
    assert "=" not in text


@pytest.mark.parametrize("text", ["QQ==", "QR", "Q", "Q+/A", "QQ\n", "é", "QUI=", "Q QI"])
def test_there_is_one_spelling(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - base64's own words
        base64url.decode(text)
