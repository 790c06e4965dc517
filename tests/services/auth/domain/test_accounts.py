import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.domain.accounts import display_name_fault, email_fault, email_key


@pytest.mark.parametrize(
    "email",
    [
        "a@b",
        "alice@example.com",
        "Alice.O'Neill+shop@mail.example.co.uk",
        "user@localhost",
        "x@127.0.0.1",
        "güllü@bücher.example",
        "用户@例子.公司",
        "a" * 64 + "@" + "b" * 63 + "." + "c" * 63 + "." + "d" * 60,
    ],
)
def test_an_address_is_judged_by_its_syntax_only(email: str) -> None:
    assert email_fault(email) is None


@pytest.mark.parametrize(
    "email",
    [
        "",
        "alice",
        "@example.com",
        "alice@",
        "a b@example.com",
        " a@example.com",
        "a@example.com ",
        "a@b@c",
        ".a@b",
        "a.@b",
        "a..b@c",
        "a@b..c",
        "a@.b",
        "a@-b",
        "a@b-",
        "a@b\n",
        "a\x00@b",
        "a\r\nBcc: x@b",
        "<a@b>",
        "a\u200b@b",
        "\u202ea@b",
        "a@b,c@d",
        "a" * 65 + "@b",
        "a@" + ".".join(["b" * 60] * 5),
        "a@" + "b" * 64,
    ],
)
def test_what_is_no_address(email: str) -> None:
    assert email_fault(email)


@given(st.text(max_size=300))
def test_no_text_breaks_the_rules(text: str) -> None:
    for rule in (email_fault, display_name_fault):
        assert rule(text) is None or rule(text)
    assert email_key(text) == email_key(email_key(text))


def test_a_display_name_is_one_line() -> None:
    assert display_name_fault(" Ada ") is None
    assert display_name_fault("x" * 100) is None
    for name in ("", "   ", "x" * 101, "a\nb", "a\x00b", "a\u2028b", "a\u202eb"):
        assert display_name_fault(name)


def test_what_nobody_types_is_not_composed() -> None:
    """It would take minutes."""
    marks = "\u0316\u0301" * 250_000
    assert email_key(f"A{marks}") == f"a{marks}"
    assert display_name_fault(f"A{marks}") == "Must be 1 to 100 characters long"


def test_a_name_typed_in_parts_is_as_long_as_it_looks() -> None:
    assert display_name_fault("\u1112\u1161\u11ab" * 100) is None
    assert email_key("E\u0301@example.com") == "\u00e9@example.com"


@pytest.mark.parametrize("email", ["alice\0@example.com", "alice@example.com\0", "\ud800alice@example.com"])
def test_what_the_database_cannot_hold_is_looked_up_as_what_nobody_can_have(email: str) -> None:
    assert email_fault(email) == "Is not an e-mail address"
    assert email_fault(email_key(email)) == "Is not an e-mail address"
    assert email_key(email).replace(" ", "") == "alice@example.com"
