"""The lines that a new service needs in files that are there already. Pure: texts in, texts out."""

import re

from scripts.support.failures import SetupError
from shared.ports import OFFSETS, RPC_STEP

_LAST_SERVICE = re.compile(r'(SERVICES = \{\n(?:    "\w+": \d+,\n)+)')
_GATEWAY_LINE = re.compile(r"^gateway: ", re.MULTILINE)
_UNRELEASED = re.compile(r"^## Unreleased\n", re.MULTILINE)
_FIRST_ROUTES = "\n# Accounts and sessions\n"
_OFFSET_STEP = 10


def free_offset() -> int:
    """The next free place in the table of ports. Raises SetupError when all are taken."""
    taken = set(OFFSETS.values())
    for offset in range(_OFFSET_STEP, OFFSETS["postgres"], _OFFSET_STEP):
        if taken.isdisjoint({offset, offset + RPC_STEP}):
            return offset
    raise SetupError(
        "shared/ports.py has no place left below the engines' ports: move those up there, and make "
        "INSTANCE_STEP as much wider"
    )


def with_port(ports: str, name: str, offset: int) -> str:
    """shared/ports.py with a row for `name`."""
    return _replaced(_LAST_SERVICE, rf'\g<1>    "{name}": {offset},\n', ports, "shared/ports.py")


def with_process(procfile: str, name: str) -> str:
    """The Procfile with a line for `name`, before the gateway's."""
    line = f"{name}: exec scripts/keep --after postgres python -m services.{name}.main\n"
    return _replaced(_GATEWAY_LINE, rf"{line}\g<0>", procfile, "Procfile")


def with_routes(gateway: str, name: str) -> str:
    """gateway.toml with an upstream and two routes for `name`: reading for anybody, writing for users."""
    upstream = f'\n[upstream.{name}]\ntargets = ["${{{name.upper()}_URL}}"]\nidentity = "{name}"\n'
    if f'prefix = "/{name}"' in gateway:
        raise SetupError(f"gateway.toml has a route for /{name} already")
    if _FIRST_ROUTES not in gateway:
        raise SetupError("gateway.toml is not as new-service knows it: no place for the upstream")
    return gateway.replace(_FIRST_ROUTES, upstream + _FIRST_ROUTES, 1) + _routes(name)


def with_news(changelog: str, name: str) -> str:
    """protos/CHANGELOG.md with the new contract under what is not released yet."""
    news = rf"\g<0>\n- `shop.{name}.v1`: the contract of the {name} service.\n"
    return _replaced(_UNRELEASED, news, changelog, "protos/CHANGELOG.md")


def _routes(name: str) -> str:
    return f"""
# {name.capitalize()}

[[route]]
prefix = "/{name}"
methods = ["GET"]
upstream = "{name}"
auth = "optional"

[[route]]
prefix = "/{name}"
methods = ["POST"]
upstream = "{name}"
auth = "required"
body_limit = 65536
buffer_body = true
"""


def _replaced(pattern: re.Pattern[str], replacement: str, text: str, file: str) -> str:
    changed, count = pattern.subn(replacement, text, count=1)
    if count != 1:
        raise SetupError(f"{file} is not as new-service knows it")
    return changed
