"""The map of the code, kept true: who may import whom, where SQL stands, where HTTP types stand.

Everything is read from the sources' syntax trees; nothing is imported.
"""

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from shared.config import CHECKOUT
from shared.ports import OFFSETS, RPC_STEP, SERVICES

# From the ground up. A module may import from its own level and from those before it.
LEVELS = (
    (
        "shared.errors",
        "shared.ids",
        "shared.base64url",
        "shared.text",
        "shared.rules",
        "shared.context",
        "shared.money",
        "shared.paging",
        "shared.versions",
        "shared.saga",
        "shared.crash_points",
    ),
    ("shared.ports", "shared.callers", "shared.config", "shared.currency"),
    ("shared.observability",),
    ("shared.tasks", "shared.runtime", "shared.event_loop", "shared.descriptors"),
    ("shared.single_flight", "shared.duties"),
    ("shared.http", "shared.db"),
    ("shared.auth", "shared.events", "shared.websocket"),
    ("shared.middleware", "shared.proxy", "shared.rpc"),
    ("shared.service", "shared.idempotency"),
    ("services",),
)
FRONT_FILES = len(LEVELS)  # the level of what stands at the top of the checkout

# Which of a service's own layers each of them may import; a file with any other name is a helper.
LAYERS = {
    "domain": {"domain"},
    "helper": {"domain", "helper"},
    "events": {"domain", "helper", "events"},
    "frames": {"domain", "frames"},  # what is said on a socket
    "service": {
        "domain",
        "frames",
        "service",
    },  # what it needs of helpers and repositories, a Protocol of the domain says
    "repository": {"domain", "helper", "events", "repository"},  # what it writes, it reports
    "clients": {"domain", "helper", "clients"},
    "saga": {"domain", "helper", "service", "saga"},
    "handler": {"domain", "helper", "frames", "events", "service", "saga", "settings", "clients", "handler"},
    "settings": {"domain", "helper", "service", "settings"},
    "upkeep": {"domain", "helper", "service", "repository", "clients", "upkeep"},  # what main lets run beside
}
LAYERS["wiring"] = {*LAYERS, "wiring"}
LAYERS["main"] = {*LAYERS, "main"}
DOMAIN_MAY_IMPORT = {
    "shared.errors",
    "shared.text",
    "shared.rules",
    "shared.money",
    "shared.paging",
    "shared.saga",
}  # pure; and the standard library
MAY_SPEAK_HTTP = {"handler", "main"}
MAY_SPEAK_RPC = {"handler", "clients", "events", "main"}
MAY_SPEAK_SQL = {"repository"}

HTTP = ("shared.http", "shared.middleware", "shared.proxy", "shared.service", "shared.idempotency")
RPC = ("shared.rpc", "shop", "grpc", "google")
SQL_MECHANISM = ("shared.db", "shared.events")
SQL = re.compile(
    r"\s*(SELECT\s|INSERT\s+INTO\s|UPDATE\s+\w+\s+SET\b|DELETE\s+FROM\s|WITH\s+\w+\s+AS\b|"
    r"(CREATE|ALTER|DROP|TRUNCATE)\s+(\w+\s+)*(TABLE|INDEX|FUNCTION|ROLE|DATABASE|SCHEMA|TYPE)\b)"
)


def _name(path: Path) -> str:
    parts = path.relative_to(CHECKOUT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


PATTERNS = ("*.py", "shared/**/*.py", "services/**/*.py")
FILES = {_name(path): path for pattern in PATTERNS for path in sorted(CHECKOUT.glob(pattern))}
SERVICE_FILES = sorted(name for name in FILES if name.count(".") > 1 and name.startswith("services."))


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse(FILES[module].read_text(), str(FILES[module]))


def _is_in(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


@cache
def _imports(module: str) -> set[str]:
    """Every module that `module` names in an import; `from a import b` names a.b where that is a module."""
    found = set()
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: a relative import"
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in FILES else str(node.module) for name in whole}
    return found


def _own_imports(module: str) -> set[str]:
    return {name for name in _imports(module) if name in FILES}


def _level(module: str) -> int:
    for level, packages in enumerate(LEVELS):
        if _is_in(module, packages):
            return level
    assert "." not in module, f"{module} has no place in LEVELS"
    return FRONT_FILES


def _layer(module: str) -> str:
    stem = module.split(".")[2]
    return stem if stem in LAYERS else "helper"


def _texts(module: str) -> Iterator[str]:
    """Every string in the code that is no docstring."""
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(_tree(module))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


MODULES = sorted(name for name in FILES if name not in ("shared", "services"))


def test_there_is_something_to_look_at() -> None:
    assert {"shared.errors", "services.product.domain"} <= FILES.keys()


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    upward = {name for name in _own_imports(module) - {"shared", "services"} if _level(name) > _level(module)}
    assert not upward, f"{module} imports from above"


def test_no_module_imports_itself_in_the_end() -> None:
    graph = {module: _own_imports(module) - {module, "shared", "services"} for module in MODULES}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the cycle


def _mapped(package: str) -> list[str]:
    """What the table in the package's docstring names."""
    table = ast.get_docstring(_tree(package)) or ""
    rows = re.findall(r"^([a-z0-9_]+(?:, [a-z0-9_]+)*)  ", table, re.MULTILINE)
    return [f"{package}.{name}" for row in rows for name in row.split(", ")]


def _children(package: str) -> set[str]:
    depth = package.count(".") + 2
    return {".".join(name.split(".")[:depth]) for name in FILES if name.startswith(f"{package}.")}


def test_the_map_of_shared_goes_from_the_ground_up() -> None:
    levels = [_level(name) for name in _mapped("shared")]
    assert levels == sorted(levels)


AUTH = "services.auth"
AUTH_FOLDERS = [f"{AUTH}.{folder}" for folder in ("domain", "service", "handler", "repository")]


@pytest.mark.parametrize("package", ["shared", "shared.events", "shared.rpc", AUTH, *AUTH_FOLDERS])
def test_a_map_names_everything_in_its_folder(package: str) -> None:
    assert sorted(_mapped(package)) == sorted(_children(package))


def test_every_service_has_a_place_in_the_table_of_ports() -> None:
    folders = {path.parent.name for path in CHECKOUT.glob("services/*/__init__.py")}
    assert folders - {"ws_gateway"} <= SERVICES.keys()  # which is none: it has parts, and a file at the top


def test_no_two_processes_share_a_port() -> None:
    rpc = [offset + RPC_STEP for offset in SERVICES.values()]  # where the services answer gRPC
    assert len({*OFFSETS.values(), *rpc}) == len(OFFSETS) + len(rpc)


@pytest.mark.parametrize("module", MODULES)
def test_http_and_database_do_not_know_each_other(module: str) -> None:
    other = {"shared.http": "shared.db", "shared.db": "shared.http"}.get(".".join(module.split(".")[:2]))
    assert other is None or not any(_is_in(name, (other,)) for name in _imports(module))


@pytest.mark.parametrize("module", MODULES)
def test_imports_stand_at_the_top(module: str) -> None:
    functions = (
        node for node in ast.walk(_tree(module)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    inside = [
        f"{module}:{node.lineno}"
        for function in functions
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert not inside


@pytest.mark.parametrize("module", MODULES)
def test_nothing_that_runs_imports_scripts_or_tests(module: str) -> None:
    assert not any(_is_in(name, ("scripts", "tests")) for name in _imports(module))


@pytest.mark.parametrize("module", SERVICE_FILES)
def test_no_service_imports_another(module: str) -> None:
    own = ".".join(module.split(".")[:2])
    others = {name for name in _imports(module) if _is_in(name, ("services",)) and not _is_in(name, (own,))}
    assert not others


@pytest.mark.parametrize("module", SERVICE_FILES)
def test_a_services_layers_point_down(module: str) -> None:
    own = ".".join(module.split(".")[:2])
    inside = {name for name in _own_imports(module) if _is_in(name, (own,)) and name != own}
    assert {_layer(name) for name in inside} <= LAYERS[_layer(module)]


@pytest.mark.parametrize("module", [name for name in SERVICE_FILES if _layer(name) == "domain"])
def test_a_domain_stands_on_nothing(module: str) -> None:
    own = ".".join(module.split(".")[:3])
    foreign = {name for name in _imports(module) if name.split(".")[0] not in sys.stdlib_module_names}
    assert {name for name in foreign if not _is_in(name, (own,))} <= DOMAIN_MAY_IMPORT


@pytest.mark.parametrize("module", [name for name in SERVICE_FILES if _layer(name) not in MAY_SPEAK_HTTP])
def test_http_types_stand_in_handlers_only(module: str) -> None:
    assert not any(_is_in(name, HTTP) for name in _imports(module))


@pytest.mark.parametrize("module", [name for name in SERVICE_FILES if _layer(name) not in MAY_SPEAK_RPC])
def test_contracts_and_calls_stand_at_the_border_only(module: str) -> None:
    assert not any(_is_in(name, RPC) for name in _imports(module))


@pytest.mark.parametrize("module", MODULES)
def test_sql_stands_in_repositories_only(module: str) -> None:
    if _is_in(module, SQL_MECHANISM) or (module in SERVICE_FILES and _layer(module) in MAY_SPEAK_SQL):
        return
    assert [text for text in _texts(module) if SQL.match(text)] == []
    assert not any(_is_in(name, ("psycopg", "psycopg_pool")) for name in _imports(module))


def test_what_counts_as_sql() -> None:
    assert any(map(SQL.match, _texts("services.product.repository")))
    assert all(
        map(SQL.match, ["SELECT 1", " INSERT INTO a", "UPDATE a SET", "CREATE UNIQUE INDEX", "DROP TABLE"])
    )
    assert not any(
        map(SQL.match, ["Select a product.", "UPDATE", "WITH care", "DELETE /products/{product_id}"])
    )


@pytest.mark.parametrize("module", sorted({name.split(".")[0] for name in FILES}))
def test_nothing_at_the_top_shadows_the_standard_library(module: str) -> None:
    assert module not in sys.stdlib_module_names
