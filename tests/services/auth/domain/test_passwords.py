import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.domain.passwords import (
    MAX_TYPED_CHARACTERS,
    PasswordPolicy,
    StoredPassword,
    guessing_key,
    normal_form,
)

EMAIL = "Alice.Liddell@Example.com"
POLICY = PasswordPolicy({"trustno1!"})


def full_width(ascii_text: str) -> str:
    """As an East Asian keyboard may spell it."""
    return "".join(chr(ord(character) + 0xFEE0) for character in ascii_text)


@pytest.mark.parametrize(
    "password", ["12345678", "пароль🔑!", "        ", "a\x00b\x00c\x00d\x00", "x" * 1024]
)
def test_any_character_will_do(password: str) -> None:
    assert POLICY.fault(password, EMAIL) is None


@pytest.mark.parametrize("password", ["", "1234567", "x" * 1025, "x" * 1_000_000])
def test_a_password_is_judged_by_its_length(password: str) -> None:
    assert POLICY.fault(password) == "Must be 8 to 1024 characters long"


def test_the_length_is_that_of_the_normal_form() -> None:
    composed, decomposed = "é" * 7, unicodedata.normalize("NFD", "é" * 7)
    assert len(decomposed) == 14
    assert POLICY.fault(composed)
    assert POLICY.fault(decomposed)
    assert POLICY.fault(unicodedata.normalize("NFD", "é" * 1024)) is None
    assert POLICY.fault("ﬄ" * 341) is None  # three letters each
    assert POLICY.fault("ﬄ" * 342)


def test_what_is_far_too_long_is_not_even_normalised() -> None:
    typed = "e\u0301" * (MAX_TYPED_CHARACTERS // 2 + 1)
    assert normal_form(typed) == typed
    assert POLICY.fault(typed)


@pytest.mark.parametrize("password", ["trustno1!", "TrustNo1!", full_width("trustno1!")])
def test_a_common_password_is_refused_in_every_spelling(password: str) -> None:
    assert POLICY.fault(password) == "Is one of the most common passwords, which are guessed first"
    assert POLICY.fault(password + " and more") is None


@pytest.mark.parametrize(
    "password",
    [
        "alice.liddell@example.com",
        "ALICE.LIDDELL@EXAMPLE.COM",
        full_width("alice") + ".liddell@example.com",
        "alice.liddell",
    ],
)
def test_the_accounts_own_address_is_refused_in_every_spelling(password: str) -> None:
    assert "e-mail address" in (POLICY.fault(password, EMAIL) or "")
    assert POLICY.fault(password, "bob@example.com") is None
    assert POLICY.fault(password + "!", EMAIL) is None


@given(st.text(max_size=40), st.text(max_size=40))
def test_two_spellings_are_judged_alike(password: str, email: str) -> None:
    judged = POLICY.fault(password, email)
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert POLICY.fault(unicodedata.normalize(form, password), email) == judged


@given(st.text(max_size=40))
def test_normalising_again_changes_nothing(text: str) -> None:
    assert normal_form(normal_form(text)) == normal_form(text)
    assert guessing_key(normal_form(text)) == guessing_key(text)


def test_the_hash_is_not_shown() -> None:
    assert "$2b$" not in repr(StoredPassword("$2b$04$secret", 1))
