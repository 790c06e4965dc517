from datetime import timedelta

import pytest

from services.inventory.settings import InventorySettings
from shared.config import ConfigError, Environment


def test_goods_are_set_aside_for_a_quarter_of_an_hour_unless_told_otherwise() -> None:
    assert InventorySettings.read(Environment({})).reservation_lifetime == timedelta(minutes=15)
    told = Environment({"RESERVATION_SECONDS": "1.5"})
    assert InventorySettings.read(told).reservation_lifetime == timedelta(seconds=1.5)


@pytest.mark.parametrize("value", ["0", "-1", "soon", "nan"])
def test_times_that_make_no_sense_are_refused_by_name(value: str) -> None:
    with pytest.raises(ConfigError, match="RESERVATION_SECONDS"):
        InventorySettings.read(Environment({"RESERVATION_SECONDS": value}))
