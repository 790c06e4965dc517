from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import Malformed
from shared.http.conditional import entity_tag, if_match, is_not_modified
from shared.http.messages import Headers


def sent(name: str, value: str) -> Headers:
    return Headers([(name, value)])


@given(st.integers(1, 2**31))
def test_a_version_matches_its_own_tag(version: int) -> None:
    assert if_match(sent("If-Match", entity_tag(version)))(version)
    assert not if_match(sent("If-Match", entity_tag(version)))(version + 1)
    assert is_not_modified(sent("If-None-Match", entity_tag(version)), version)


def test_without_a_header_all_versions_match_and_all_are_news() -> None:
    assert if_match(Headers([]))(7)
    assert not is_not_modified(Headers([]), 7)


def test_headers_on_several_lines_are_one_list() -> None:
    assert if_match(Headers([("If-Match", '"1"'), ("If-Match", '"2"')]))(2)


@given(st.text(st.characters(codec="latin-1"), max_size=60))
def test_whatever_a_client_sends_is_decided_one_way_or_the_other(text: str) -> None:
    is_not_modified(sent("If-None-Match", text), 1)
    with suppress(Malformed):
        if_match(sent("If-Match", text))(1)


@pytest.mark.parametrize("text", ["," * 50_000, '"' * 50_000, 'W/"' * 50_000, " ,\t" * 50_000 + "x"])
def test_long_rubbish_takes_no_long_time(text: str) -> None:
    with pytest.raises(Malformed):
        if_match(sent("If-Match", text + "x"))
