"""`./scripts/new-service NAME`: a service of the shape that all have, ready to start and tested."""

import argparse
import importlib.util
import keyword
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from string import Template

from scripts.support.failures import SetupError, exit_status
from scripts.support.new_service.edits import free_offset, with_news, with_port, with_process, with_routes
from shared.config import CHECKOUT
from shared.ports import OFFSETS

# Roles that PostgreSQL keeps for itself, and what has a setting <NAME>_URL of another meaning.
RESERVED = {"public", "none", "redis", "events"}
# What the template's own code calls something else.
TAKEN = {"user", "page", "route", "rule", "request", "response", "database", "secret", "asking", "uuid"}
TEMPLATE = Path(__file__).parent / "template"
NAME = re.compile(r"[a-z]{2,20}")


def write_service(checkout: Path, name: str) -> list[Path]:
    """Write the files of the service `name` into `checkout`; those made or changed. Raises SetupError."""
    _refuse_bad_name(checkout, name)
    texts = {**dict(_new_files(checkout, name)), **_changed_files(checkout, name)}
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return list(texts)


def tidy(paths: list[Path]) -> None:
    """Lines break elsewhere with every name. Without ruff, which only developers have, nothing is done."""
    if importlib.util.find_spec("ruff") is None:
        return
    sources = [str(path) for path in paths if path.suffix == ".py"]
    for task in (["check", "--quiet", "--select", "I", "--fix"], ["format", "--quiet"]):
        subprocess.run([sys.executable, "-m", "ruff", *task, *sources], check=True)


def _refuse_bad_name(checkout: Path, name: str) -> None:
    if not NAME.fullmatch(name) or keyword.iskeyword(name):
        raise SetupError(f"{name!r} cannot be a service's name: small letters, like 'review'")
    taken = name in OFFSETS or name in sys.stdlib_module_names or name in RESERVED | TAKEN
    if taken or any((checkout / folder / name).exists() for folder in ("services", "protos/shop")):
        raise SetupError(f"there is something called {name!r} already")


def _new_files(checkout: Path, name: str) -> Iterator[tuple[Path, str]]:
    for source in sorted(TEMPLATE.rglob("*.txt")):
        relative = str(source.relative_to(TEMPLATE)).removesuffix(".txt").replace("NAME", name)
        yield checkout / relative, Template(source.read_text()).substitute(name=name, Name=name.capitalize())


def _changed_files(checkout: Path, name: str) -> dict[Path, str]:
    ports, procfile, gateway = checkout / "shared/ports.py", checkout / "Procfile", checkout / "gateway.toml"
    changelog = checkout / "protos/CHANGELOG.md"
    return {
        changelog: with_news(changelog.read_text(), name),
        ports: with_port(ports.read_text(), name, free_offset()),
        procfile: with_process(procfile.read_text(), name),
        gateway: with_routes(gateway.read_text(), name),
    }


def _main() -> int:
    parser = argparse.ArgumentParser(
        prog="./scripts/new-service",
        description="Writes a new service: four layers, a migration, a contract to begin with, tests, and "
        "its lines in shared/ports.py, Procfile and gateway.toml. It starts with the next ./scripts/up.",
    )
    parser.add_argument("name", metavar="NAME", help="small letters, in the singular: review")
    name = parser.parse_args().name
    written = write_service(CHECKOUT, name)
    tidy(written)
    for path in written:
        print(f"new-service: wrote {path.relative_to(CHECKOUT)}")
    print(
        f"new-service: now run ./scripts/test tests/services/{name} and ./scripts/up, and look at /{name}.\n"
        f"new-service: protos/shop/{name}/v1/{name}.proto says what other services may ask. CI wants "
        "it released (./scripts/protos check names the version) or deleted; CONTRIBUTING.md tells more."
    )
    return 0


if __name__ == "__main__":
    sys.exit(exit_status("new-service", _main))
