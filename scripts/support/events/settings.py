"""Which bus a command asks: the one that the running system uses."""

from urllib.parse import urlsplit

from scripts.support.parts import embedded_kafka_url
from scripts.support.records import Records
from scripts.support.settings import read_settings
from shared.config import Environment


def read_events_settings() -> Environment:
    """The settings of this command; those of `up --kafka` while that runs and EVENTS_URL says nothing."""
    environment = read_settings()
    if environment.values.get("EVENTS_URL") or not Records(environment.home).read("kafka-ready"):
        return environment
    return Environment({**environment.values, "EVENTS_URL": embedded_kafka_url(environment)})


def bus_in_words(environment: Environment) -> str:
    """Which bus that is, without a password."""
    url = urlsplit(environment.events_url().value)
    return f"{url.scheme} at {url.netloc.rpartition('@')[2]}"
