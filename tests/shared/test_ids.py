"""UUIDv7."""

import time

import pytest

from shared.ids import new_id, new_request_id, parse_id


def test_an_identifier_is_a_version_7_uuid_of_now() -> None:
    before = time.time_ns() // 1_000_000
    made = new_id()
    after = time.time_ns() // 1_000_000
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert before <= made.int >> 80 <= after


def test_identifiers_differ() -> None:
    assert len({new_id() for _ in range(1000)}) == 1000


def test_request_ids_differ_and_are_safe_in_headers_and_urls() -> None:
    made = {new_request_id() for _ in range(1000)}
    assert len(made) == 1000
    assert all(len(each) == 32 and each.isalnum() for each in made)


@pytest.mark.parametrize(
    "text", ["", "x", "{0190163d-8694-739b-aea5-966c26f8ad91}", "0190163d8694739baea5966c26f8ad91"]
)
def test_only_the_canonical_spelling_is_an_identifier(text: str) -> None:
    assert parse_id(text) is None


def test_an_identifier_reads_back() -> None:
    made = new_id()
    assert parse_id(str(made)) == made
    assert parse_id(str(made).upper()) == made
