"""Everything about orders that can be set."""

from dataclasses import dataclass

from shared.config import Environment


@dataclass(frozen=True, slots=True)
class SagaSettings:
    """Settings of the orchestrator, with their defaults in `read`."""

    lease_seconds: float

    @classmethod
    def read(cls, environment: Environment) -> "SagaSettings":
        """From SAGA_LEASE_SECONDS: how long a saga stays with a process that may have died.

        Longer than a call, which takes two seconds at most, and its commit. Raises ConfigError.
        """
        return cls(environment.seconds("SAGA_LEASE_SECONDS", 10.0, minimum=3.0))
