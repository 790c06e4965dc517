import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.config import ConfigError
from shared.middleware.client_address import TrustedProxies

PROXIES = TrustedProxies(["10.0.0.0/8", "::1", "192.168.1.7"])


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        ("10.1.2.3", True),
        ("::1", True),
        ("192.168.1.7", True),
        ("192.168.1.8", False),
        ("::ffff:10.1.2.3", True),
        ("fe80::1%eth0", False),
        ("", False),
        ("unix", False),
    ],
)
def test_who_is_trusted(peer: str, trusted: bool) -> None:
    assert PROXIES.trusts(peer) is trusted
    assert PROXIES.trusts(peer) is trusted  # the remembered verdict is the same


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),  # an untrusted peer speaks for nobody
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.1", "198.51.100.1"),  # what stands left of it is the client's own
        ("10.0.0.1", "198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1, unknown", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
        ("10.0.0.1", "[2001:db8::5]:80", "2001:db8::5"),
        ("10.0.0.1", "2001:db8::5", "2001:db8::5"),
        ("10.0.0.1", ' 198.51.100.1","x":"y', "10.0.0.1"),  # nothing unparsed ever gets into a log line
    ],
)
def test_the_right_most_untrusted_address_is_the_client(peer: str, forwarded_for: str, client: str) -> None:
    assert PROXIES.client_address(peer, forwarded_for) == client


def test_nobody_is_trusted_by_default() -> None:
    assert not TrustedProxies()
    assert not TrustedProxies().trusts("127.0.0.1")


def test_a_bad_network_names_its_setting() -> None:
    with pytest.raises(ConfigError, match="TRUSTED_PROXIES"):
        TrustedProxies(["10.0.0.300"])


@given(st.text())
def test_any_text_is_survived(forwarded_for: str) -> None:
    assert PROXIES.client_address("203.0.113.9", forwarded_for) == "203.0.113.9"
    PROXIES.client_address("10.0.0.1", forwarded_for)


@given(st.lists(st.ip_addresses(v=4).map(str)))
def test_appending_by_a_trusted_proxy_cannot_be_undone_by_the_client(forged: list[str]) -> None:
    chain = ", ".join([*forged, "198.51.100.1", "10.9.9.9"])
    assert PROXIES.client_address("10.0.0.1", chain) == "198.51.100.1"
