import pytest

from shared.currency import CURRENCY_CODES
from shared.errors import Invalid
from shared.money import MAX_AMOUNT, money_rules, under
from shared.rules import check


@pytest.mark.parametrize(
    ("least", "amount", "fault"),
    [
        (0, 0, False),
        (0, -1, True),
        (1, 1, False),
        (1, 0, True),
        (0, MAX_AMOUNT, False),
        (0, MAX_AMOUNT + 1, True),
    ],
)
def test_amounts(least: int, amount: int, *, fault: bool) -> None:
    says = money_rules("KRW", CURRENCY_CODES, least)["amount"](amount)
    assert says == (f"Must be from {least} to {MAX_AMOUNT}" if fault else None)


def test_the_largest_amount_is_exact_in_every_reader_of_json() -> None:
    assert float(MAX_AMOUNT) == MAX_AMOUNT
    assert int(float(MAX_AMOUNT)) == MAX_AMOUNT
    assert float(MAX_AMOUNT + 1) == float(MAX_AMOUNT + 2)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("KRW", None),
        ("USD", "Must be KRW, the one currency of this shop"),
        ("krw", "Must be an ISO 4217 currency code"),
        ("ZZZ", "Must be an ISO 4217 currency code"),
        ("", "Must be an ISO 4217 currency code"),
    ],
)
def test_currencies(code: str, says: str | None) -> None:
    assert money_rules("KRW", CURRENCY_CODES)["currency"](code) == says


def test_rules_can_stand_under_a_field() -> None:
    money = money_rules("KRW", CURRENCY_CODES)
    rules = under("expected_total", money)
    assert rules == {
        "expected_total.amount": money["amount"],
        "expected_total.currency": money["currency"],
    }
    deeper = under("items[]", under("price", money))
    with pytest.raises(Invalid) as refused:
        check([("items[3].price.amount", -1), ("items[4].price.currency", "KRW")], deeper)
    assert [each.field for each in refused.value.fields] == ["items[3].price.amount"]
