from pathlib import Path

import pytest

from shared.config import CHECKOUT, ConfigError, Environment
from shared.ports import SERVICES
from shared.proxy.config import GatewayConfig, read_config
from shared.proxy.toml_file import FaultyFile

MINIMAL = """
[upstream.any]
targets = ["http://127.0.0.1:9000/"]
[[route]]
prefix = "/"
upstream = "any"
auth = "none"
"""


def read(tmp_path: Path, text: str, **settings: str) -> GatewayConfig:
    path = tmp_path / "gateway.toml"
    path.write_text(text)
    return read_config(path, Environment(settings))


def faults(tmp_path: Path, text: str, **settings: str) -> list[tuple[int, str]]:
    with pytest.raises(FaultyFile) as raised:
        read(tmp_path, text, **settings)
    return [(fault.line, fault.key) for fault in raised.value.faults]


def test_a_minimal_file_and_its_defaults(tmp_path: Path) -> None:
    config = read(tmp_path, MINIMAL, PORT_BASE="9100")
    assert config.listen == ("127.0.0.1", 9100)
    assert config.admin == ("127.0.0.1", 9109)
    assert config.upstreams["any"].origins == ("http://127.0.0.1:9000",)
    assert config.upstreams["any"].identity == ""
    (route,) = config.routes
    assert (route.prefix, route.methods, route.roles) == ("/", frozenset(), frozenset())
    assert (route.body_limit, route.strip_prefix, route.raw_path) == (10_485_760, False, False)
    assert route.timeouts.total is None
    assert not config.checks_tokens


def test_everything_said(tmp_path: Path) -> None:
    text = """
listen = "[::1]:8443"
admin = ":9"
[upstream.product]
targets = ["${PRODUCT_URL}", "https://b.example:1"]
identity = "product"
[[route]]
prefix = "/p/q"
methods = ["GET", "BREW"]
upstream = "product"
auth = "required"
roles = ["admin"]
body_limit = 0
strip_prefix = true
raw_path = true
timeouts = { connect_seconds = 1, head_seconds = 2.5, idle_seconds = 3, total_seconds = 4 }
"""
    config = read(tmp_path, text, PORT_BASE="9100")
    assert (config.listen, config.admin) == (("::1", 8443), ("", 9))
    assert config.upstreams["product"].origins == ("http://127.0.0.1:9120", "https://b.example:1")
    assert config.upstreams["product"].identity == "product"
    (route,) = config.routes
    assert route.methods == {"GET", "HEAD", "BREW"}
    assert route.auth == "required"
    assert route.roles == {"admin"}
    assert route.body_limit == 0
    assert route.strip_prefix
    assert route.raw_path
    timeouts = route.timeouts
    assert (timeouts.connect, timeouts.head, timeouts.idle, timeouts.total) == (1.0, 2.5, 3.0, 4.0)
    assert config.checks_tokens


def test_the_environment_wins_over_what_port_base_implies(tmp_path: Path) -> None:
    text = MINIMAL.replace("http://127.0.0.1:9000/", "${PRODUCT_URL}")
    assert read(tmp_path, text, PRODUCT_URL="http://p:1").upstreams["any"].origins == ("http://p:1",)
    assert read(tmp_path, MINIMAL, BIND_HOST="0.0.0.0").listen == ("0.0.0.0", 8000)
    assert read(tmp_path, 'listen = "${HERE}"' + MINIMAL, HERE="h:1").listen == ("h", 1)


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_of_the_table_of_ports_has_its_variable(tmp_path: Path, service: str) -> None:
    text = MINIMAL.replace("http://127.0.0.1:9000/", f"${{{service.upper()}_URL}}")
    origin = f"http://127.0.0.1:{9100 + SERVICES[service]}"
    assert read(tmp_path, text, PORT_BASE="9100").upstreams["any"].origins == (origin,)


def test_auth_is_required_unless_said_otherwise(tmp_path: Path) -> None:
    assert read(tmp_path, MINIMAL.replace('auth = "none"', "")).routes[0].auth == "required"


@pytest.mark.parametrize(
    ("line", "replacement", "fault"),
    [
        ('auth = "none"', 'auth = "maybe"', (7, "route.auth")),
        ('auth = "none"', "auth = true", (7, "route.auth")),
        ('auth = "none"', 'roles = ["a"]\nauth = "optional"', (7, "route.roles")),
        ('auth = "none"', 'auht = "none"', (7, "route.auht")),
        ('auth = "none"', "body_limit = -1", (7, "route.body_limit")),
        ('auth = "none"', 'body_limit = "10"', (7, "route.body_limit")),
        ('auth = "none"', 'methods = ["G T"]', (7, "route.methods")),
        ('auth = "none"', 'methods = "GET"', (7, "route.methods")),
        ('auth = "none"', "timeouts = { head_seconds = 0 }", (7, "route.timeouts.head_seconds")),
        ('auth = "none"', "timeouts = { head = 1 }", (7, "route.timeouts.head")),
        ('auth = "none"', "timeouts = 3", (7, "route.timeouts")),
        ('prefix = "/"', 'prefix = "x"', (5, "route.prefix")),
        ('prefix = "/"', 'prefix = "/x/"', (5, "route.prefix")),
        ('prefix = "/"', 'prefix = "/a//b"', (5, "route.prefix")),
        ('prefix = "/"', 'prefix = "/a/../b"', (5, "route.prefix")),
        ('prefix = "/"', 'prefix = "/a%20b"', (5, "route.prefix")),
        ('prefix = "/"', 'prefix = "/a?b"', (5, "route.prefix")),
        ('prefix = "/"', "", (4, "route.prefix")),
        ('upstream = "any"', 'upstream = "other"', (6, "route.upstream")),
        ('upstream = "any"', "", (4, "route.upstream")),
        ('targets = ["http://127.0.0.1:9000/"]', "", (2, "upstream.any.targets")),
        ('targets = ["http://127.0.0.1:9000/"]', "targets = []", (3, "upstream.any.targets")),
        ('targets = ["http://127.0.0.1:9000/"]', 'targets = ["ftp://a"]', (3, "upstream.any.targets")),
        ('targets = ["http://127.0.0.1:9000/"]', 'targets = ["http://a/b"]', (3, "upstream.any.targets")),
        ('targets = ["http://127.0.0.1:9000/"]', 'targets = ["http://u:p@a"]', (3, "upstream.any.targets")),
        ('targets = ["http://127.0.0.1:9000/"]', 'targets = ["http://a:99999"]', (3, "upstream.any.targets")),
        ('targets = ["http://127.0.0.1:9000/"]', 'targets = ["http://a", 1]', (3, "upstream.any.targets")),
    ],
)
def test_a_fault_is_named_by_line_and_key(
    tmp_path: Path, line: str, replacement: str, fault: tuple[int, str]
) -> None:
    assert line in MINIMAL
    assert fault in faults(tmp_path, MINIMAL.replace(line, replacement))


def test_an_unset_variable(tmp_path: Path) -> None:
    assert (3, "upstream.any.targets") in faults(
        tmp_path, MINIMAL.replace("http://127.0.0.1:9000/", "${NOPE}")
    )


def test_faults_at_the_top(tmp_path: Path) -> None:
    assert faults(tmp_path, 'listen = "8000"\nlisen = 1' + MINIMAL) == [(1, "listen"), (2, "lisen")]
    assert faults(tmp_path, "") == [(1, "route")]
    assert faults(tmp_path, 'upstream = 3\nroute = "x"') == [(1, "upstream"), (2, "route")]
    assert faults(tmp_path, "[upstream]\nany = 3\n[[route]]\nprefix='/'\nupstream='any'") == [
        (2, "upstream.any"),
        (2, "upstream.any.targets"),
    ]


def test_two_routes_for_the_same_request(tmp_path: Path) -> None:
    second = '[[route]]\nprefix = "/"\nupstream = "any"\nmethods = ["GET"]\n'
    assert faults(tmp_path, MINIMAL + second) == [(9, "route.prefix")]
    both = MINIMAL + 'methods = ["POST"]\n' + second
    assert len(read(tmp_path, both).routes) == 2


def test_all_faults_in_one_go(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        read(tmp_path, 'listen = 1\n[[route]]\nprefix = "/"\nupstream = "x"\nauth = "y"\n')
    text = str(raised.value)
    assert [line.split(": ")[0].rpartition(":")[2] for line in text.splitlines()] == ["1", "4", "5"]
    assert "gateway.toml:4: route.upstream: there is no [upstream.x]" in text


def test_our_own_file_is_in_order() -> None:
    config = read_config(CHECKOUT / "gateway.toml", Environment({}))
    guards = {(route.prefix, method): route for route in config.routes for method in route.methods}
    assert guards["/products", "POST"].roles == {"admin"}
    assert guards["/products", "GET"].auth == "optional"
    assert guards["/auth/login", "POST"].auth == "none"
    assert guards["/auth/me", "GET"].auth == "required"
    assert all(upstream.identity for upstream in config.upstreams.values())
