"""Fetching Kafka, with a Maven that is played by a script, and what is said when something is missing."""

import hashlib
import os
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from scripts.support.failures import SetupError
from scripts.support.kafka_jars import PINS, POM, VERSION, are_fetched, check_jars, fetch_jars

COPIES = """
for word; do case $word in -DoutputDirectory=*) folder=${word#*=} ;; esac; done
mkdir "$folder" && printf good >"$folder/kafka.jar"
"""
OFFLINE = "echo '[ERROR] Failed to execute goal: Unknown host somewhere: Name or service not known'; exit 1"


def play(folder: Path, monkeypatch: pytest.MonkeyPatch, **scripts: str) -> None:
    """A PATH with only these programs, each a shell script, and what scripts use."""
    folder.mkdir()
    for name, text in scripts.items():
        (folder / name).write_text(f'#!/bin/sh\nPATH={os.defpath}\necho {name} >>"{folder}/asked"\n{text}\n')
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


@pytest.fixture
def pins(tmp_path: Path) -> Path:
    """Pins that name the one file that the played Maven brings."""
    path = tmp_path / "pins"
    path.write_text(f"{hashlib.sha256(b'good').hexdigest()}  kafka.jar\n")
    return path


def test_it_is_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pins: Path) -> None:
    play(tmp_path / "bin", monkeypatch, java="", mvn=COPIES)
    jars = fetch_jars(tmp_path / "cache", pins)
    assert (jars / "kafka.jar").read_text() == "good"
    assert fetch_jars(tmp_path / "cache", pins) == jars
    assert (tmp_path / "bin" / "asked").read_text() == "mvn\n"


@pytest.mark.parametrize(
    ("maven", "reason"),
    [
        (OFFLINE, "there is no network"),
        ("echo '[ERROR] something new'; exit 1", "something new"),
        ("exit 1", "Maven said nothing"),
        (COPIES.replace("good", "evil"), "kafka.jar is not as pins has it"),
        (COPIES + 'echo >"$folder/more.jar"', "more.jar is not as pins has it"),
        (COPIES + 'rm "$folder/kafka.jar"', "kafka.jar is not as pins has it"),
    ],
    ids=["offline", "unknown", "silent", "another file", "one too many", "one too few"],
)
def test_a_failed_fetch_is_one_reason_and_leaves_nothing_that_counts(
    maven: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pins: Path
) -> None:
    play(tmp_path / "bin", monkeypatch, java="", mvn=maven)
    with pytest.raises(SetupError, match=reason):
        fetch_jars(tmp_path / "cache", pins)
    assert not are_fetched(tmp_path / "cache")


@pytest.mark.parametrize("missing", ["java", "mvn"])
def test_what_is_missing_is_named_with_what_to_install(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(tmp_path / "bin", monkeypatch, **{name: "" for name in ("java", "mvn") if name != missing})
    with pytest.raises(SetupError, match=f"^`{missing}` is not there: install Maven and Java 17 or newer"):
        fetch_jars(tmp_path / "cache")


def test_everything_that_the_pom_asks_for_is_pinned() -> None:
    names = {"m": "http://maven.apache.org/POM/4.0.0"}
    asked = ET.fromstring(POM).findall(".//m:dependency", names)
    words = [[each.findtext(f"m:{word}", "", names) for word in ("artifactId", "version")] for each in asked]
    pinned = {name: digest for digest, name in map(str.split, PINS.read_text().splitlines())}
    assert {f"{'-'.join(each)}.jar" for each in words} <= pinned.keys()
    assert f"kafka-clients-{VERSION}.jar" in pinned


def test_what_was_fetched_here_is_what_is_pinned() -> None:
    if are_fetched():
        check_jars(fetch_jars())
