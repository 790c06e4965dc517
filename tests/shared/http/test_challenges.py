"""WWW-Authenticate: quoted strings that nothing breaks out of."""

import re

from hypothesis import given
from hypothesis import strategies as st

from shared.http import challenges

QUOTED_STRING = re.compile(r'"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e]|\\[\t\x20-\x7e])*"')  # RFC 9110 section 5.6.4
ERROR_TEXT = r'"[\x20\x21\x23-\x5b\x5d-\x7e]*"'  # RFC 6750 section 3
BEARER = re.compile(rf'Bearer realm="plainstack", error={ERROR_TEXT}, error_description={ERROR_TEXT}')


def test_what_a_challenge_looks_like() -> None:
    assert challenges.bearer() == 'Bearer realm="plainstack"'
    assert challenges.bearer("invalid_token", "It has expired.") == (
        'Bearer realm="plainstack", error="invalid_token", error_description="It has expired."'
    )
    assert challenges.basic() == 'Basic realm="plainstack"'


def test_quotes_and_backslashes_are_escaped() -> None:
    assert challenges.quoted('a"b\\c') == r'"a\"b\\c"'
    assert challenges.quoted("a\r\nSet-Cookie: é") == '"a??Set-Cookie: ?"'


@given(st.text())
def test_nothing_breaks_out_of_a_quoted_string(text: str) -> None:
    assert QUOTED_STRING.fullmatch(challenges.quoted(text))


@given(st.text(min_size=1), st.text())
def test_an_error_has_the_characters_that_the_rfc_allows(error: str, description: str) -> None:
    assert BEARER.fullmatch(challenges.bearer(error, description))
