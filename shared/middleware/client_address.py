"""Whose word on the client's address is believed (pure).

A proxy appends the address it was called from to `X-Forwarded-For`, so the list is only as good as its
right-hand end: reading from the right, the first address that is not one of our trusted proxies is the
client. Everything to the left of it was written by the client.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from shared.config import ConfigError

_REMEMBERED_PEERS = 4096  # verdicts kept; proxies are few, so this is only a guard


class TrustedProxies:
    """The addresses and networks (`10.0.0.0/8`, `::1`) whose `X-Forwarded-*` is believed."""

    def __init__(self, networks: Iterable[str] = ()) -> None:
        """Raises ConfigError on text that is neither address nor network."""
        self._networks = [_network(text) for text in networks]
        self._verdicts: dict[str, bool] = {}

    def __bool__(self) -> bool:
        return bool(self._networks)

    def trusts(self, peer: str) -> bool:
        """Whether `peer` (an IP address as text) is one of them."""
        if not self._networks:
            return False
        verdict = self._verdicts.get(peer)
        if verdict is None:
            verdict = self._decide(peer)
            if len(self._verdicts) < _REMEMBERED_PEERS:
                self._verdicts[peer] = verdict
        return verdict

    def client_address(self, peer: str, forwarded_for: str) -> str:
        """The right-most untrusted address of `forwarded_for`, the header's value as `peer` sent it.

        Where the chain ends in trusted proxies only, or in something unreadable, the last address that a
        trusted proxy vouched for.
        """
        client = peer
        for entry in reversed(forwarded_for.split(",")):
            if not self.trusts(client):
                break
            address = _parse(entry.strip())
            if address is None:
                break
            client = str(address)
        return client

    def _decide(self, peer: str) -> bool:
        address = _parse(peer)
        return address is not None and any(address in network for network in self._networks)


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError as wrong:
        raise ConfigError(
            "TRUSTED_PROXIES", f"{text!r} is neither an address nor a network: {wrong}"
        ) from None


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    """An address with or without port, IPv6 in brackets or not; IPv4 inside IPv6 counts as IPv4."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
