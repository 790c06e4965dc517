import pytest

from services.ws_gateway.settings import SocketSettings, origin_of
from shared.config import ConfigError, Environment


def read(**values: str) -> SocketSettings:
    return SocketSettings.read(Environment({"PORT_BASE": "9000", **values}))


def test_without_settings_there_are_bounds() -> None:
    settings = read()
    assert (settings.connections, settings.connections_per_user, settings.subscriptions) == (12_000, 20, 100)
    assert (settings.socket.frames.per_second, settings.socket.frames.burst) == (50, 100)
    assert settings.reconnect_spread == 5


def test_every_bound_can_be_set() -> None:
    settings = read(
        WS_CONNECTIONS="5",
        WS_CONNECTIONS_PER_USER="2",
        WS_SUBSCRIPTIONS="3",
        WS_RECONNECT_SPREAD_SECONDS="0",
        WS_MESSAGES_PER_SECOND="7",
        WS_MESSAGE_BURST="8",
        WS_MESSAGE_BYTES="2048",
        WS_QUEUE_BYTES="70000",
    )
    assert (settings.connections, settings.connections_per_user, settings.subscriptions) == (5, 2, 3)
    assert settings.reconnect_spread == 0
    assert (settings.socket.frames.per_second, settings.socket.frames.burst) == (7, 8)
    assert (settings.socket.message_bytes, settings.socket.queue_bytes) == (2048, 70_000)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("WS_CONNECTIONS", "0"),
        ("WS_CONNECTIONS_PER_USER", "many"),
        ("WS_SUBSCRIPTIONS", "1001"),
        ("WS_RECONNECT_SPREAD_SECONDS", "-1"),
        ("WS_RECONNECT_SPREAD_SECONDS", "21"),
        ("WS_MESSAGES_PER_SECOND", "0"),
        ("WS_MESSAGE_BURST", "0"),
        ("WS_MESSAGE_BYTES", "1023"),
        ("WS_QUEUE_BYTES", "65535"),
        ("WS_ALLOWED_ORIGINS", "shop.example"),
        ("WS_ALLOWED_ORIGINS", "https://shop.example, null"),
        ("WS_ALLOWED_ORIGINS", "*"),
        ("WS_ALLOWED_ORIGINS", "ftp://shop.example"),
        ("PUBLIC_URL", "shop"),
    ],
)
def test_a_bad_value_is_named(key: str, value: str) -> None:
    with pytest.raises(ConfigError) as bad:
        read(**{key: value})
    assert bad.value.key == key


# Origins


def test_the_main_gateways_own_page_may_and_so_may_who_is_no_browser() -> None:
    settings = read()
    assert settings.allows("http://127.0.0.1:9000")
    assert settings.allows(None)
    assert read(PUBLIC_URL="https://shop.example/").allows("https://shop.example")


@pytest.mark.parametrize(
    ("origin", "is_allowed"),
    [
        ("https://shop.example", True),
        ("https://shop.example:443", True),
        ("HTTPS://Shop.Example", True),
        ("http://other.example", True),
        ("http://shop.example", False),
        ("https://shop.example:444", False),
        ("https://shop.example.evil.example", False),
        ("https://evil.example", False),
        ("http://127.0.0.1:9000", False),
        ("null", False),
        ("", False),
        ("https://", False),
        ("https://shop.example:99999", False),
        ("https://shop.example, https://evil.example", False),
        ("file://", False),
    ],
)
def test_only_pages_of_allowed_origins_may(origin: str, is_allowed: bool) -> None:
    settings = read(WS_ALLOWED_ORIGINS="https://shop.example, http://other.example:80,")
    assert settings.allows(origin) is is_allowed


def test_an_origin_has_one_spelling() -> None:
    assert origin_of("HTTPS://Shop.Example/") == "https://shop.example:443"
    assert origin_of("http://[::1]:8080") == "http://[::1]:8080"
    assert origin_of("http://[::1") is None
    assert origin_of("http://evil.example@shop.example") is None
