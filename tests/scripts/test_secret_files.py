"""Secrets are made once, by whoever comes first, and for the owner only."""

import base64
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from scripts.support.secret_files import make_secrets, secret_keys


def test_each_is_32_random_bytes_for_the_owner_only(tmp_path: Path) -> None:
    made = make_secrets(tmp_path, ["A", "B"])
    assert [path.name for path in made] == ["a", "b"]
    values = {path.read_text().strip() for path in made}
    assert {len(base64.urlsafe_b64decode(value)) for value in values} == {32}
    assert len(values) == 2
    assert {path.stat().st_mode & 0o777 for path in made} == {0o600}
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700


def test_what_is_there_stays(tmp_path: Path) -> None:
    (path,) = make_secrets(tmp_path, ["A"])
    before = path.read_text()
    assert make_secrets(tmp_path, ["A"]) == []
    assert path.read_text() == before


def test_many_at_once_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        rounds = list(pool.map(lambda _: make_secrets(tmp_path, ["A", "B", "C"]), range(8)))
    assert sum(len(made) for made in rounds) == 3
    assert {path.name for path in (tmp_path / "secrets").iterdir()} == {"a", "b", "c"}


def test_every_service_with_a_database_has_its_own() -> None:
    keys = secret_keys()
    for service in ("AUTH", "PRODUCT"):
        assert f"POSTGRES_PASSWORD_{service}" in keys
        assert f"IDENTITY_KEY_GATEWAY_{service}" in keys
