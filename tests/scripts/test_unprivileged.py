"""Root and PostgreSQL, which refuses root."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.support.free_ports import free_port_base
from scripts.support.run_tests import isolated_environment
from tests.engines import Engines

# A root that has nobody else's ids, and may not make user namespaces.
FORBIDDEN = ["unshare", "--user", "--map-root-user", "sh", "-c"]
COMMAND = f"echo 0 >/proc/sys/user/max_user_namespaces && exec {sys.executable} -m scripts.support.postgres"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is refused")
def test_root_runs_it_on_files_that_stay_its_own(engines: Engines) -> None:
    assert (engines.home / "postgres" / "PG_VERSION").stat().st_uid == 0


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare")
def test_where_root_has_no_way_one_line_says_what_to_do(tmp_path: Path) -> None:
    if subprocess.run([*FORBIDDEN, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("user namespaces are forbidden here")
    done = subprocess.run(
        [*FORBIDDEN, COMMAND],
        env=isolated_environment(os.environ, tmp_path, free_port_base()),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "run this as an ordinary user" in done.stderr
