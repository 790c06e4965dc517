from collections.abc import Mapping

import pytest

from shared.errors import Invalid
from shared.rules import Rule, check, rule_of


def not_empty(value: str) -> str | None:
    return None if value else "Must not be empty"


def positive(value: int) -> str | None:
    return None if value > 0 else "Must be above 0"


RULES: Mapping[str, Rule] = {
    "name": not_empty,
    "price.currency": not_empty,
    "items": not_empty,
    "items[].quantity": positive,
    "items[].parts[].colour": not_empty,
    "tags[]": not_empty,
}


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


def test_items_of_lists_are_named_by_their_index() -> None:
    given = [
        ("items", [1]),
        ("items[0].quantity", 1),
        ("items[1].quantity", 0),
        ("items[23].quantity", -1),
        ("items[4].parts[5].colour", ""),
        ("tags[0]", ""),
    ]
    with pytest.raises(Invalid) as refused:
        check(given, RULES)
    assert [each.field for each in refused.value.fields] == [
        "items[1].quantity",
        "items[23].quantity",
        "items[4].parts[5].colour",
        "tags[0]",
    ]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("name", "name"),
        ("items", "items"),
        ("items[0].quantity", "items[].quantity"),
        ("items[123].quantity", "items[].quantity"),
        ("items[].quantity", "items[].quantity"),
        ("items[1].parts[2].colour", "items[].parts[].colour"),
        ("tags[7]", "tags[]"),
    ],
)
def test_the_rule_of_a_field_is_that_of_all_items(path: str, name: str) -> None:
    assert rule_of(path, RULES) is RULES[name]


@pytest.mark.parametrize("path", ["", "Name", "items[0]", "items.quantity", "items[x].quantity", "name[0]"])
def test_other_fields_have_no_rule(path: str) -> None:
    assert rule_of(path, RULES) is None
    with pytest.raises(KeyError, match="'" + path.replace("[", r"\[") + "'"):
        check([(path, "x")], RULES)
