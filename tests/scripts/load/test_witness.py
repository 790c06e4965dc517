"""What fits together and what does not, of what clients have been told."""

import pytest

from scripts.support.load.witness import Told, Witness


def told(status: str, reason: str = "", at: float = 0.0, order: str = "a", took: float = 0.5) -> Told:
    return Told(order, status, reason, {"tea": 1}, 100, at, at + took)


@pytest.fixture
def witness() -> Witness:
    """An order has been accepted."""
    witness = Witness()
    witness.placed("key", told("PENDING"))
    return witness


def test_an_order_that_ends_once_is_no_contradiction(witness: Witness) -> None:
    for at in (1, 2):
        witness.told(told("CANCELLED", "out_of_stock", at))
    assert witness.contradictions == []
    assert witness.tales["a"].ending == "CANCELLED out_of_stock"


@pytest.mark.parametrize("then", [("CANCELLED", "requested"), ("PENDING", "")])
def test_what_is_final_stays(witness: Witness, then: tuple[str, str]) -> None:
    witness.told(told("CONFIRMED", at=1))
    witness.told(told(*then, at=2))
    (contradiction,) = witness.contradictions
    assert contradiction == f"order a: CONFIRMED, then {' '.join(then).strip()}"


def test_an_answer_may_be_overtaken(witness: Witness) -> None:
    witness.told(told("CONFIRMED", at=1))
    witness.told(told("PENDING", at=0.9, took=5))
    assert witness.contradictions == []


def test_an_order_that_was_called_off_is_not_confirmed(witness: Witness) -> None:
    witness.called_off(told("PENDING", at=1))
    witness.told(told("CONFIRMED", at=2))
    assert witness.contradictions == ["order a: called off, and confirmed"]


def test_one_key_is_one_order(witness: Witness) -> None:
    witness.placed("key", told("PENDING", at=1))
    assert witness.contradictions == []
    witness.placed("key", told("PENDING", at=2, order="b"))
    assert witness.contradictions == ["orders a and b have one key, key"]


def test_what_is_sold_is_what_was_confirmed_at_last(witness: Witness) -> None:
    witness.placed("other", told("CANCELLED", "requested", order="b"))
    witness.told(told("CONFIRMED", at=1))
    assert [each.order_id for each in witness.confirmed] == ["a"]
