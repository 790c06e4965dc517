import pytest

from shared.errors import Invalid
from shared.rules import check


def not_empty(value: str) -> str | None:
    return None if value else "Must not be empty"


RULES = {"name": not_empty, "price.currency": not_empty}


def test_every_bad_field_is_named() -> None:
    with pytest.raises(Invalid) as refused:
        check([("name", ""), ("price.currency", "")], RULES)
    assert [(each.field, each.detail) for each in refused.value.fields] == [
        ("name", "Must not be empty"),
        ("price.currency", "Must not be empty"),
    ]


def test_what_is_not_given_is_not_checked() -> None:
    check([], RULES)
    check([("name", "x")], RULES)
