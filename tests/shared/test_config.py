"""Settings: typed values, named faults, hidden secrets."""

from pathlib import Path

import pytest

from shared.config import ConfigError, Environment, Secret


def environment(**values: str) -> Environment:
    return Environment(values)


def test_a_value_that_is_not_set_has_its_default() -> None:
    assert environment().integer("LIMIT", 7) == 7
    assert environment(LIMIT="").integer("LIMIT", 7) == 7
    assert environment(LIMIT=" 8 ").integer("LIMIT", 7) == 8


def test_a_required_value_is_asked_for_by_name() -> None:
    with pytest.raises(ConfigError, match="NAME: is required"):
        environment().text("NAME")


@pytest.mark.parametrize("bad", ["x", "1.5", "-1", "11", "1e3", "--1", "\u0661", "0x1"])
def test_bad_integers_name_their_key(bad: str) -> None:
    with pytest.raises(ConfigError, match="LIMIT"):
        environment(LIMIT=bad).integer("LIMIT", 7, minimum=0, maximum=10)


@pytest.mark.parametrize("bad", ["x", "nan", "inf", "-1", "0"])
def test_bad_durations_name_their_key(bad: str) -> None:
    with pytest.raises(ConfigError, match="WAIT"):
        environment(WAIT=bad).seconds("WAIT", 1.0)


def test_choices_and_words() -> None:
    settings = environment(LEVEL="LOUD", NETS="10.0.0.0/8, ::1,")
    assert settings.words("NETS") == ("10.0.0.0/8", "::1")
    with pytest.raises(ConfigError, match="LEVEL: must be one of"):
        settings.choice("LEVEL", "INFO", ("INFO", "DEBUG"))


@pytest.mark.parametrize(
    "bad", ["http:hunter2@", "ftp://u:hunter2@h", "http://h:99999/hunter2", "http://[hunter2"]
)
def test_a_bad_url_is_named_but_not_shown(bad: str) -> None:
    with pytest.raises(ConfigError, match="BASE") as refused:
        environment(BASE=bad).url("BASE", "", ("http",))
    assert "hunter2" not in str(refused.value)


def test_secrets_come_from_the_variable_or_the_file_and_are_never_shown(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "api_key").write_text("from file\n")
    assert environment(PLAINSTACK_HOME=str(tmp_path)).secret("API_KEY") == Secret("from file")
    secret = environment(PLAINSTACK_HOME=str(tmp_path), API_KEY="hunter2").secret("API_KEY")
    assert secret.value == "hunter2"
    assert "hunter2" not in f"{secret} {secret!r}"


def test_a_missing_secret_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="api_key does not exist"):
        environment(PLAINSTACK_HOME=str(tmp_path)).secret("API_KEY")


@pytest.mark.parametrize(
    ("name", "instance"), [("", 1), ("auth.1", 1), ("auth.3", 3), ("auth.x", 1), ("auth.0", 1)]
)
def test_instances_of_a_process_have_ports_of_their_own(name: str, instance: int) -> None:
    settings = environment(PORT_BASE="9000", HONCHO_PROCESS_NAME=name)
    assert settings.port("auth") == 9010 + 100 * (instance - 1)


def test_addresses_follow_from_the_port_base_unless_given(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "postgres_password_product").write_text("p/w")
    settings = environment(PORT_BASE="9000", PLAINSTACK_HOME=str(tmp_path), REDIS_URL="redis://elsewhere:1")
    assert settings.service_url("product") == "http://127.0.0.1:9020"
    assert settings.database_url("product").value == "postgresql://product:p%2Fw@127.0.0.1:9090/product"
    assert settings.redis_url().value == "redis://elsewhere:1"


@pytest.mark.parametrize(
    "url",
    [
        "redis://:p@elsewhere:1/2",
        "rediss://elsewhere",
        "kafka://127.0.0.1:8092",
        "kafka://one:9092,[::1]:9093,three.internal:9094",
    ],
)
def test_events_go_where_their_url_says(url: str) -> None:
    assert environment(EVENTS_URL=f" {url} ", REDIS_URL="redis://store:1").events_url() == Secret(url)


def test_events_go_through_the_store_unless_they_have_a_url() -> None:
    settings = environment(EVENTS_URL=" ", REDIS_URL="redis://store:1")
    assert settings.events_url() == settings.redis_url()


@pytest.mark.parametrize(
    "bad",
    [
        "kafka://",
        "kafka://password",
        "kafka://one:9092,",
        "kafka://one:9092, two:9093",
        "kafka://one:9092,password:0",
        "kafka://one:9092/password",
        "kafka://user:password@one:9092",
        "KAFKA://one:9092",
        "one:9092",
        "amqp://user:password@one:9092",
        "redis://:password@",
        "redis://:password@one:99999",
    ],
)
def test_a_bad_url_for_events_names_its_key_and_shows_no_password(bad: str) -> None:
    with pytest.raises(ConfigError, match=r"^EVENTS_URL: must be a URL like \w+://host:port") as caught:
        environment(EVENTS_URL=bad).events_url()
    assert "password" not in str(caught.value)


def test_an_identity_key_is_named_by_caller_and_callee(tmp_path: Path) -> None:
    assert environment(IDENTITY_KEY_GATEWAY_AUTH="k1:x").identity_key("gateway", "auth") == Secret("k1:x")
    with pytest.raises(ConfigError, match="IDENTITY_KEY_ORDER_PAYMENT"):
        environment(PLAINSTACK_HOME=str(tmp_path)).identity_key("order", "payment")


@pytest.mark.parametrize(("name", "port"), [("", 9025), ("product.1", 9025), ("product.3", 9225)])
def test_each_instance_answers_grpc_beside_its_own_port(name: str, port: int) -> None:
    settings = environment(PORT_BASE="9000", HONCHO_PROCESS_NAME=name)
    assert settings.rpc_port("product") == port == settings.port("product") + 5


def test_grpc_addresses_are_the_first_local_instance_unless_given() -> None:
    local = environment(PORT_BASE="9000", HONCHO_PROCESS_NAME="order.3")
    assert local.rpc_addresses("product") == ("127.0.0.1:9025",)
    empty = environment(PORT_BASE="9000", PRODUCT_RPC_ADDRESSES=" , ")
    assert empty.rpc_addresses("product") == ("127.0.0.1:9025",)
    given = environment(PRODUCT_RPC_ADDRESSES="10.0.0.7:1, [::1]:65535,product-1.internal:8025")
    assert given.rpc_addresses("product") == ("10.0.0.7:1", "[::1]:65535", "product-1.internal:8025")
    assert given.rpc_addresses("payment") == ("127.0.0.1:8055",)


@pytest.mark.parametrize(
    "bad",
    [
        "product",
        "product:",
        ":8025",
        "product:http",
        "product:802500",
        "product:65536",
        "product:0",
        "http://product:8025",
        "product:8025/",
        "::1:8025",
        "[product]:8025",
        "user@product:8025",
        "good:8025, bad",
        "a b:8025",
    ],
)
def test_bad_grpc_addresses_name_their_key(bad: str) -> None:
    with pytest.raises(ConfigError, match="PRODUCT_RPC_ADDRESSES"):
        environment(PRODUCT_RPC_ADDRESSES=bad).rpc_addresses("product")
