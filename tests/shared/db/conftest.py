import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shared.config import Secret
from tests.shared.db.own_postgres import OwnPostgres


@pytest.fixture(scope="session")
def own_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnPostgres]:
    server = OwnPostgres(tmp_path_factory.mktemp("own_postgres") / "server")
    server.initialize()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def url(own_postgres: OwnPostgres) -> Secret:
    """A fresh, empty database."""
    return own_postgres.create_database(f"test_{secrets.token_hex(6)}")


@pytest.fixture
def migrations(tmp_path: Path) -> Callable[..., Path]:
    """Writes migration files: migrations(**{"0001_a": "CREATE TABLE …"})."""
    folder = tmp_path / "migrations"
    folder.mkdir()

    def write(**files: str) -> Path:
        for name, sql in files.items():
            (folder / f"{name}.sql").write_text(sql)
        return folder

    return write
