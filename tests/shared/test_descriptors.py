"""The limit of a process of its own, so that the tests' own stays as it is."""

import json
import resource
import subprocess
import sys

import pytest

from shared.descriptors import RESERVED

PROGRAM = """
import resource
from shared.descriptors import limit, provide_for
from shared.observability import logs

logs.configure()
provide_for(500)
print(limit())
"""


@pytest.mark.parametrize(
    ("soft", "hard", "result"), [(64, 900, 500 + RESERVED), (700, 900, 700), (64, 300, 300), (300, 300, 300)]
)
def test_the_soft_limit_is_raised_as_far_as_needed_and_allowed(soft: int, hard: int, result: int) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard)),
        capture_output=True,
        text=True,
        check=True,
    )
    *warnings, limit = ran.stdout.splitlines()
    assert int(limit) == result
    enough = result >= 500 + RESERVED
    assert [json.loads(line)["limit"] for line in warnings] == ([] if enough else [result])
