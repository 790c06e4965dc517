"""The embedded Kafka, without starting it: its command, settings, Java and connections."""

import os
import subprocess
from pathlib import Path

import pytest

from scripts.support.failures import SetupError
from scripts.support.kafka import Kafka, count_connections, settings
from scripts.support.kafka_jvm import Flags, class_data, java_command, make_class_data
from scripts.support.parts import embedded_kafka_url, runs_here
from scripts.support.procfile_parts import parts_of
from scripts.support.up import with_kafka
from shared.config import CHECKOUT, ConfigError, Environment
from tests.scripts.test_kafka_jars import play

OWN = {"PORT_BASE": "12000"}
URL = "kafka://127.0.0.1:12092"
JAVA_17 = """echo 'openjdk version "17.0.15" 2025-04-15' >&2"""

# As /proc/net/tcp has it: a listener, a connection accepted, its other end, one that is being closed.
CONNECTIONS = """\
   0: 0100007F:2F3C 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 0100007F:2F3C 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 2 1 0 20 4 30 10 -1
   2: 0100007F:9C40 0100007F:2F3C 01 00000000:00000000 00:00000000 00000000     0        0 3 1 0 20 4 30 10 -1
   3: 0100007F:2F3C 0100007F:9C42 06 00000000:00000000 03:00000000 00000000     0        0 0 3 0
"""


def run_kafka(*arguments: str, path: str) -> subprocess.CompletedProcess[str]:
    command = [str(CHECKOUT / "scripts" / "kafka"), *arguments]
    environment = {**os.environ, "PATH": path}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_its_command_is_one_line_without_java(tmp_path: Path) -> None:
    (tmp_path / "dirname").symlink_to("/usr/bin/dirname")
    (tmp_path / "sh").symlink_to("/bin/sh")
    done = run_kafka("up", path=str(tmp_path))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert done.stderr.startswith(
        "kafka: `java` is not there: install Maven and Java 17 or newer (on Debian:"
    )


def test_its_command_tells_how_it_goes() -> None:
    assert run_kafka("--help", path=os.environ["PATH"]).stdout.startswith("usage: ./scripts/kafka")
    assert run_kafka("down", path=os.environ["PATH"]).returncode == 2


def test_it_listens_on_loopback_alone() -> None:
    lines = settings("kafka", 12092, 12093).splitlines()
    assert "listeners=PLAINTEXT://127.0.0.1:12092,CONTROLLER://127.0.0.1:12093" in lines
    assert "log.dirs=kafka" in lines
    assert "auto.create.topics.enable=false" in lines


def test_connections_are_counted_that_others_have_to_it() -> None:
    assert count_connections(CONNECTIONS.splitlines(), 12092) == 1
    assert count_connections([], 12092) == 0


def test_what_does_not_listen_does_not_answer(tmp_path: Path) -> None:
    engine = Kafka(Environment({**OWN, "PLAINSTACK_HOME": str(tmp_path)}), tmp_path)
    assert not engine.is_answering()


# When it runs


@pytest.mark.parametrize(
    ("events_url", "runs"),
    [("", False), (URL, True), (f" {URL} ", True), ("kafka://127.0.0.1:12192", False), ("redis://x", False)],
)
def test_it_runs_where_its_own_address_carries_the_events(events_url: str, runs: bool) -> None:
    assert runs_here("kafka", Environment({**OWN, "EVENTS_URL": events_url})) is runs


def test_up_can_ask_for_it() -> None:
    asked = with_kafka(Environment(OWN))
    assert asked.events_url().value == embedded_kafka_url(asked) == URL
    assert with_kafka(asked).values == asked.values
    with pytest.raises(ConfigError, match=r"^EVENTS_URL: contradicts --kafka") as caught:
        with_kafka(Environment({**OWN, "EVENTS_URL": "redis://:password@x:1"}))
    assert "password" not in str(caught.value)


def test_both_its_ports_are_known() -> None:
    (part,) = parts_of(["kafka"], Environment(OWN))
    assert part.is_engine
    assert [address.port for address in part.addresses.values()] == [12093, 12092]


# Its Java


@pytest.fixture
def jars(tmp_path: Path) -> Path:
    folder = tmp_path / "version" / "jars"
    folder.mkdir(parents=True)
    (folder / "b.jar").touch()
    (folder / "a.jar").touch()
    return folder


def test_java_finds_the_archives_in_order(
    jars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(tmp_path / "bin", monkeypatch, java=JAVA_17)
    command = java_command(jars, "kafka.Kafka", "settings")
    assert command[-3:] == [f"{jars}/a.jar:{jars}/b.jar", "kafka.Kafka", "settings"]
    assert f"-XX:SharedArchiveFile={class_data(jars)}" in command


def test_class_data_are_made_once(jars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    play(tmp_path / "bin", monkeypatch, java=JAVA_17)
    rehearsals: list[Flags] = []
    make_class_data(jars, rehearsals.append)
    make_class_data(jars, rehearsals.append)
    assert len(rehearsals) == 1
    assert class_data(jars).exists(), "also where a rehearsal brings none: it is not tried again"


@pytest.mark.parametrize("said", ["1.8.0_412", "11.0.2", "16-ea", ""])
def test_an_old_java_is_refused(
    said: str, jars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(tmp_path / "bin", monkeypatch, java=f"""echo 'java version "{said}"' >&2""")
    with pytest.raises(SetupError, match=r"is Java .*, which is too old: install"):
        make_class_data(jars, lambda flags: None)
