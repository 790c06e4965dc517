"""Sources for clients in other languages.

Messages come out of protoc, offline. Java's gRPC stubs need a plugin of protoc's that is no Python package:
Maven fetches it.
"""

import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from scripts.support.failures import SetupError
from scripts.support.protos.folder import Contracts
from scripts.support.protos.tools import whole_protoc

LANGUAGES = ("java",)
PLUGIN = "protoc-gen-grpc-java"
PLUGIN_VERSION = "1.83.0"  # stubs work with this version of grpc-java and every later one
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"

# How Maven calls systems and processors.
SYSTEMS = {"Linux": "linux", "Darwin": "osx", "Windows": "windows"}
PROCESSORS = {"x86_64": "x86_64", "AMD64": "x86_64", "aarch64": "aarch_64", "arm64": "aarch_64"}


def generate_java(contracts: Contracts, into: Path) -> bool:
    """Write Java sources into `into`, which exists; False when there is no Maven, and so no stubs.

    SetupError when Maven is there, but the plugin cannot be had; the messages are written by then.
    """
    into = into.resolve()
    whole_protoc([f"--java_out={into}", *contracts.sources], contracts.folder)
    maven = shutil.which("mvn")
    if maven is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        plugin = _fetch_plugin(maven, Path(folder))
        option = f"--plugin={PLUGIN}={plugin}"
        whole_protoc([option, f"--grpc-java_out={into}", *contracts.sources], contracts.folder)
    return True


def _fetch_plugin(maven: str, folder: Path) -> Path:
    artifact = f"io.grpc:{PLUGIN}:{PLUGIN_VERSION}:exe:{_machine()}"
    options = [f"-Dartifact={artifact}", f"-DoutputDirectory={folder}"]
    command = [maven, "--batch-mode", "--quiet", COPY, *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False)
    found = list(folder.glob(f"{PLUGIN}-*"))
    if done.returncode != 0 or len(found) != 1:
        said = done.stdout.partition("[ERROR] ")[2].partition("\n")[0] or "it said nothing"
        raise SetupError(f"messages are made, stubs are not: Maven cannot fetch {artifact}: {said}")
    found[0].chmod(0o755)
    return found[0]


def _machine() -> str:
    system, processor = SYSTEMS.get(platform.system()), PROCESSORS.get(platform.machine())
    if system is None or processor is None:
        raise SetupError(f"messages are made, stubs are not: there is no {PLUGIN} for {platform.platform()}")
    return f"{system}-{processor}"
