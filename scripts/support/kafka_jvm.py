"""How Kafka's Java programs are run: a small JVM that is made to start quickly.

Half of a start's processor time would go into loading and checking classes, the same ones every time. The JVM
can keep them ready in a file ("class data sharing"), which is made by a rehearsal: a run on data of its own.
"""

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from scripts.support.failures import SetupError
from scripts.support.kafka_jars import INSTALL, find_program
from scripts.support.locks import awaited

Flags = tuple[str, ...]  # of the JVM

OLDEST_JAVA = 17
FLAGS = (
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",  # the quick compiler alone: a broker for development seldom runs for hours
    "-XX:-UsePerfData",
    "-XX:+ExitOnOutOfMemoryError",  # then it is started again
    "-XX:+IgnoreUnrecognizedVMOptions",
    "-Djava.net.preferIPv4Stack=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSZ",
)


def java_command(jars: Path, *words: str, flags: Flags = ()) -> list[str]:
    """The command that runs `words`, a class and its arguments. SetupError without Java.

    `flags` stand in place of the use of class data. The archives are named one by one and in order, as class
    data are good for one class path.
    """
    path = os.pathsep.join(str(jar) for jar in sorted(jars.glob("*.jar")))
    with_class_data = (f"-XX:SharedArchiveFile={class_data(jars)}",)  # the JVM does without if it has to
    return [find_program("java"), *FLAGS, *(flags or with_class_data), "-cp", path, *words]


def class_data(jars: Path) -> Path:
    """Where the class data for these archives and this Java are kept; each build of Java needs its own."""
    program = Path(find_program("java")).resolve().stat()
    return jars.parent / f"classes-{program.st_size:x}-{program.st_mtime_ns:x}.jsa"


def make_class_data(jars: Path, rehearse: Callable[[Flags], None]) -> None:
    """See to it that class data are there; `rehearse` runs Kafka once, with the flags that it is given.

    SetupError when Java is too old. A Java that cannot make class data gets an empty file: it is asked once.
    """
    path = class_data(jars)
    if path.exists():
        return
    with awaited(jars.parent / "classes.lock"):
        if path.exists():
            return
        _check_java()
        print("kafka: preparing quick starts", flush=True)
        draft = path.with_suffix(".draft")
        draft.unlink(missing_ok=True)
        rehearse((f"-XX:ArchiveClassesAtExit={draft}",))
        draft.touch()
        draft.replace(path)


def _check_java() -> None:
    """`java -version` says for example: openjdk version "17.0.15" 2025-04-15."""
    java = find_program("java")
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "((\d+)[^"]*)"', said)
    if found is None or int(found[2]) < OLDEST_JAVA:
        version = found[1] if found else "of an unknown version"
        raise SetupError(f"`{java}` is Java {version}, which is too old: {INSTALL}")
