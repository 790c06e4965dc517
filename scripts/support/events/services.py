"""Which services publish and which take in, and how a command opens one of them."""

import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import ModuleType

from scripts.support.failures import BAD_SETTING, SetupError
from scripts.support.opened_database import wait_for
from scripts.support.service_names import services_with_database
from shared.config import CHECKOUT, Environment
from shared.db.database import Database
from shared.events.consumer import Consumer


@dataclass(frozen=True, slots=True)
class OpenedConsumer:
    """A service that takes events in, opened: its consumer stands on `database`."""

    consumer: Consumer
    database: Database
    main: ModuleType  # of the service, where it is wired


def publishers() -> list[str]:
    """The services that have an outbox."""
    return [name for name in services_with_database() if _has_migration(name, "outbox")]


def consumers() -> list[str]:
    """The services that have an inbox."""
    return [name for name in services_with_database() if _has_migration(name, "inbox")]


def require(name: str, known: list[str], what: str) -> str:
    """`name`, if it is one of `known`. Raises SetupError."""
    if name not in known:
        raise SetupError(f"{name!r} has no {what}; these have: {', '.join(known)}", BAD_SETTING)
    return name


@asynccontextmanager
async def opened(environment: Environment, name: str) -> AsyncIterator[Database]:
    """A service's database while the block runs. Raises SetupError when it cannot be used."""
    migrations = CHECKOUT / "services" / name / "migrations"
    async with Database(environment.database_url(name), migrations) as database:
        await wait_for(database, name)
        yield database


@asynccontextmanager
async def opened_consumer(environment: Environment, name: str) -> AsyncIterator[OpenedConsumer]:
    """The consumer of a service while the block runs, as its main wires it. Raises SetupError."""
    main = importlib.import_module(f"services.{require(name, consumers(), 'inbox')}.main")
    async with opened(environment, name) as database:
        yield OpenedConsumer(main.consumer_of(database), database, main)


def _has_migration(service: str, what: str) -> bool:
    return any((CHECKOUT / "services" / service / "migrations").glob(f"*_{what}.sql"))
