"""Kafka's program: Java archives that Maven fetches once for the whole checkout, into .kafka/VERSION.

Another version is VERSION below, and in kafka_jars.sha256 what `sha256sum *.jar` says of a fetch one trusts.
"""

import hashlib
import re
import shutil
import signal
from pathlib import Path

from scripts.support.failures import SetupError
from scripts.support.locks import awaited
from scripts.support.spawning import spawn
from shared.config import CHECKOUT

VERSION = "4.1.1"
CACHE = CHECKOUT / ".kafka"  # not under PLAINSTACK_HOME: every test has one, none shall fetch anew
PINS = Path(__file__).with_name("kafka_jars.sha256")
MEGABYTES = 43
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
INSTALL = "install Maven and Java 17 or newer (on Debian: apt-get install maven openjdk-17-jre-headless)"

# slf4j-simple, as Kafka's own log4j takes longer to start than it has to say.
POM = f"""\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>plainstack</groupId>
  <artifactId>kafka</artifactId>
  <version>{VERSION}</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>{VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId>
      <artifactId>slf4j-simple</artifactId>
      <version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
"""

# What Maven says, and what we make of it. The first that fits counts.
REASONS = (
    ("No space left on device", "the disk is full"),
    ("Unknown host|Connection refused|unreachable|Temporary failure in name", "there is no network"),
    ("timed out|SSLHandshakeException|PKIX path", "the repository of packages cannot be reached"),
    ("Checksum validation failed", "an archive came damaged"),
)


def find_program(name: str) -> str:
    """The path of `java` or `mvn`. SetupError that says what to install when it is not there."""
    found = shutil.which(name)
    if found is None:
        raise SetupError(f"`{name}` is not there: {INSTALL}")
    return found


def are_fetched(cache: Path = CACHE) -> bool:
    """Whether nothing has to be fetched any more."""
    return _jars(cache).is_dir()


def fetch_jars(cache: Path = CACHE, pins: Path = PINS) -> Path:
    """The folder of the archives, fetched when missing. SetupError unless they are those of `pins`."""
    if not are_fetched(cache):
        find_program("java")
        maven = find_program("mvn")
        with awaited(cache / "fetch.lock"):
            if not are_fetched(cache):  # somebody else was faster
                _fetch(maven, cache, pins)
    return _jars(cache)


def _jars(cache: Path) -> Path:
    return cache / VERSION / "jars"


def _fetch(maven: str, cache: Path, pins: Path) -> None:
    """The folder gets its name when all is there and checked, so whatever ends half-way is not mistaken."""
    print(f"kafka: fetching Kafka {VERSION} with Maven ({MEGABYTES} MB)", flush=True)
    draft = cache / f"{VERSION}.draft"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    (draft / "pom.xml").write_text(POM)
    _run_maven(maven, draft, cache / "fetch.log")
    check_jars(draft / "jars", pins)
    draft.replace(cache / VERSION)


def _run_maven(maven: str, folder: Path, log: Path) -> None:
    options = ["--batch-mode", "--no-transfer-progress", "--strict-checksums"]
    paths = ["--file", str(folder / "pom.xml"), f"-DoutputDirectory={folder / 'jars'}"]
    with log.open("wb") as output:
        command = [maven, *options, *paths, COPY]
        status = spawn(command, death_signal=signal.SIGTERM, output=output).wait()
    if status != 0:
        reason = _reason(log.read_text(errors="replace"))
        raise SetupError(f"fetching Kafka {VERSION} failed: {reason} (see {log})")


def _reason(said: str) -> str:
    known = (meaning for pattern, meaning in REASONS if re.search(pattern, said))
    errors = re.findall(r"^\[ERROR\] (.+)", said, re.MULTILINE) or said.strip().splitlines()[-1:]
    return next(known, errors[0] if errors else "Maven said nothing")


def check_jars(folder: Path, pins: Path = PINS) -> None:
    """SetupError unless `folder` holds exactly the files that `pins` names, each with its hash."""
    lines = (line.split() for line in pins.read_text().splitlines())
    wanted = {name: digest for digest, name in lines}
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*")}
    if wrong := sorted(name for name, _ in wanted.items() ^ found.items()):
        raise SetupError(f"{wrong[0]} is not as {pins.name} has it (wrong hash, missing or unknown)")
