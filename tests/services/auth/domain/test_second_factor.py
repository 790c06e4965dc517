"""How codes may be spelled, and what is kept of them."""

from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.domain.second_factor import Enrolment, is_recovery_code, recovery_digest, tidy_code


@pytest.mark.parametrize("presented", ["123456", "123 456", " 123-456\n", "123\u2013456", "12\u00a034 56"])
def test_a_phones_code_may_be_grouped(presented: str) -> None:
    assert tidy_code(presented) == "123456"


@pytest.mark.parametrize("presented", ["ABCD-EFGH-IJKL-MN27", "abcdefghijklmn27", " abcd efgh—ijkl mn27 "])
def test_a_recovery_code_may_be_typed_carelessly(presented: str) -> None:
    assert tidy_code(presented) == "ABCDEFGHIJKLMN27"
    assert is_recovery_code(tidy_code(presented))


@given(st.text())
def test_whatever_is_typed_is_tidied_once_and_for_all(presented: str) -> None:
    assert tidy_code(tidy_code(presented)) == tidy_code(presented)


@pytest.mark.parametrize(
    "code", ["", "123456", "ABCDEFGHIJKLMN2", "ABCDEFGHIJKLMN277", "ABCDEFGHIJKLMN01", "É" * 16]
)
def test_what_is_no_recovery_code(code: str) -> None:
    assert not is_recovery_code(code)


def test_a_digest_belongs_to_one_account() -> None:
    alice, eve = uuid4(), uuid4()
    assert recovery_digest(alice, "ABCDEFGHIJKLMN27") == recovery_digest(alice, "ABCDEFGHIJKLMN27")
    assert recovery_digest(alice, "ABCDEFGHIJKLMN27") != recovery_digest(eve, "ABCDEFGHIJKLMN27")


def test_an_enrolment_does_not_show_its_secret() -> None:
    assert "sealed" not in repr(Enrolment(uuid4(), b"sealed", is_confirmed=True))
