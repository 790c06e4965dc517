"""Addresses as gRPC's resolvers want them. Pure."""

from collections.abc import Sequence
from ipaddress import ip_address

from shared.config import ConfigError


def target_of(addresses: Sequence[str], setting: str) -> str:
    """The target that reaches all of `addresses` (`host:port`), which then share the calls.

    Numeric addresses are taken as they are. A name is looked up, and again when its addresses fail; it may
    stand for several. gRPC has no target for several names, or for names beside numbers: ConfigError, which
    names `setting`.
    """
    versions = {_ip_version(address.rpartition(":")[0].strip("[]")) for address in addresses}
    if len(versions) == 1 and (version := versions.pop()):
        return f"ipv{version}:{','.join(addresses)}"
    if len(addresses) == 1:
        return f"dns:///{addresses[0]}"
    raise ConfigError(setting, "must be numeric addresses of one kind, or one name")


def _ip_version(host: str) -> int:
    """0 for a name."""
    try:
        return ip_address(host).version
    except ValueError:
        return 0
