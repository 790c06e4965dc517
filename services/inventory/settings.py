"""Everything about the inventory that can be set."""

from dataclasses import dataclass
from datetime import timedelta

from shared.config import Environment


@dataclass(frozen=True, slots=True)
class InventorySettings:
    """Settings of the inventory, with their defaults in `read`."""

    reservation_lifetime: timedelta

    @classmethod
    def read(cls, environment: Environment) -> "InventorySettings":
        """From RESERVATION_SECONDS: how long goods stay set aside if nobody commits. Raises ConfigError."""
        return cls(timedelta(seconds=environment.seconds("RESERVATION_SECONDS", 900)))
