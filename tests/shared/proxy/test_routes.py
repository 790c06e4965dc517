import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import Malformed, NotFound
from shared.http.problems import HTTPError
from shared.proxy.routes import GatewayRoute, RouteTable

TABLE = RouteTable(
    [
        GatewayRoute("/auth", "auth"),
        GatewayRoute("/auth/login", "login", auth="none"),
        GatewayRoute("/products", "read", methods=frozenset({"GET", "HEAD"})),
        GatewayRoute("/products", "write", methods=frozenset({"POST", "PATCH"})),
        GatewayRoute("/files", "files", raw_path=True),
        GatewayRoute("/deep/er/still", "deep"),
    ]
)
EVERYTHING = RouteTable([GatewayRoute("/", "all"), GatewayRoute("/auth", "auth")])


def upstream(path: str, method: str = "GET", table: RouteTable = TABLE) -> str:
    return table.match(method, path).upstream


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/auth", "auth"),
        ("/auth/", "auth"),
        ("/auth/logins", "auth"),
        ("/auth/login", "login"),
        ("/auth/login/x/y", "login"),
        ("/products", "read"),
        ("/products/1", "read"),
        ("/deep/er/still/more", "deep"),
        ("/%61uth/login", "login"),  # an upstream decodes this too
        ("/auth/l%6Fgin", "login"),
        ("/auth/%E2%82%AC", "auth"),
        ("/auth/%FF", "auth"),
        ("/auth/100%", "auth"),
        ("/auth/.hidden", "auth"),
        ("/auth/...", "auth"),
        ("/files/a%2Fb", "files"),
        ("/files/../x", "files"),
        ("/files/%00", "files"),
        ("/auth/x//y", "auth"),
    ],
)
def test_the_longest_prefix_of_whole_segments_wins(path: str, name: str) -> None:
    assert upstream(path) == name


@pytest.mark.parametrize(
    "path", ["/", "/authx", "/Auth", "/deep", "/deep/er", "/product", "*", "", "auth", "/x"]
)
def test_anything_else_is_not_found(path: str) -> None:
    with pytest.raises(NotFound):
        TABLE.match("GET", path)


@pytest.mark.parametrize(
    "path",
    [
        "/auth/..",
        "/auth/../products",
        "/auth/./login",
        "/auth/%2e%2E/products",
        "/auth/.%2e",
        "/auth/..;a=b/products",
        "/auth%2flogin/x/../..",
        "/auth/a%2Fb",
        "/auth/a%5cb",
        "/auth/a\\b",
        "/auth/a%00b",
        "/auth//login",  # merged, this would be another route
        "//auth",
    ],
)
def test_what_others_may_read_differently_is_refused(path: str) -> None:
    with pytest.raises((Malformed, NotFound)):
        TABLE.match("GET", path)
    with pytest.raises(Malformed):
        EVERYTHING.match("GET", path if path != "/auth//login" else "//auth/x")


def test_an_encoded_slash_never_moves_a_border() -> None:
    with pytest.raises(NotFound):
        TABLE.match("GET", "/deep%2Fer/still")
    with pytest.raises(Malformed):
        TABLE.match("GET", "/auth/login%2F..%2F")


def test_the_root_takes_the_rest() -> None:
    assert upstream("/", table=EVERYTHING) == "all"
    assert upstream("/anything/at/all", table=EVERYTHING) == "all"
    assert upstream("/authx", table=EVERYTHING) == "all"
    assert upstream("/auth/x", table=EVERYTHING) == "auth"
    assert upstream("/a//b", table=EVERYTHING) == "all"


@pytest.mark.parametrize(("method", "name"), [("GET", "read"), ("HEAD", "read"), ("POST", "write")])
def test_routes_with_one_prefix_differ_by_method(method: str, name: str) -> None:
    assert upstream("/products/1", method) == name


def test_a_method_without_a_route() -> None:
    with pytest.raises(HTTPError) as refused:
        TABLE.match("DELETE", "/products/1")
    assert refused.value.status == 405
    assert refused.value.headers == [("Allow", "GET, HEAD, PATCH, POST")]


def test_methods_are_compared_as_they_are() -> None:
    with pytest.raises(HTTPError):
        TABLE.match("get", "/products")
    assert upstream("/auth", "BREW") == "auth"


@pytest.mark.parametrize(
    ("prefix", "target", "sent"),
    [
        ("/a/b", "/a/b/c?x=/a/b", "/c?x=/a/b"),
        ("/a/b", "/a/b", "/"),
        ("/a/b", "/a/b?", "/?"),
        ("/a/b", "/a/b/", "/"),
        ("/a/b", "/%61/b/%63", "/%63"),
        ("/", "/a/b", "/a/b"),
    ],
)
def test_stripping_takes_whole_segments(prefix: str, target: str, sent: str) -> None:
    assert GatewayRoute(prefix, "u", strip_prefix=True).target(target) == sent


def test_stripping_leaves_no_network_path() -> None:
    with pytest.raises(Malformed):
        GatewayRoute("/a", "u", strip_prefix=True).target("/a//evil.example/")


@given(st.text(alphabet="/a.%2eE61fF5cC\\;0", max_size=30))
def test_no_spelling_sneaks_past_a_guarded_prefix(path: str) -> None:
    """However a path is spelled: if decoding, merging and resolving it leads to /a, so did we."""
    table = RouteTable([GatewayRoute("/", "open"), GatewayRoute("/a", "guarded")])
    try:
        chosen = table.match("GET", f"/{path}").upstream
    except (Malformed, NotFound):
        return
    resolved: list[str] = []
    decoded = f"/{path}".replace("%61", "a").replace("%2e", ".").replace("%2E", ".")
    for segment in decoded.split("/"):
        if segment == "..":
            resolved[-1:] = []
        elif segment not in ("", "."):
            resolved.append(segment)
    assert chosen == ("guarded" if resolved[:1] == ["a"] else "open")
