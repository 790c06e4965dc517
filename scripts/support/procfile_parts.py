"""All parts of one system, by the names that its Procfile has for them."""

from collections.abc import Iterable
from pathlib import Path

from scripts.support.parts import Part, part_of
from scripts.support.records import Records
from shared.config import CHECKOUT, Environment
from shared.ports import OFFSETS
from shared.proxy.config import read_config


def parts_of(names: Iterable[str], environment: Environment) -> list[Part]:
    """Those of the Procfile's processes that we know. ConfigError when the gateway's file is at fault."""
    known = [name for name in names if name in OFFSETS]
    return [_gateway(environment) if name == "gateway" else part_of(name, environment) for name in known]


def _gateway(environment: Environment) -> Part:
    path = environment.text("GATEWAY_CONFIG", str(CHECKOUT / "gateway.toml"))
    config = read_config(Path(path), environment)
    addresses = {"gateway": config.listen, "gateway_admin": config.admin}
    return Part("gateway", addresses, Records(environment.home))
