import subprocess
import sys

from prometheus_client import REGISTRY, Gauge

from shared.config import CHECKOUT
from shared.observability import metrics

OWNED = ("auth_tokens_remembered", "auth_guess", "revocation_", "bcrypt_")


def test_a_process_shows_only_what_it_has() -> None:
    """A fresh interpreter that knows all of our code, and has made nothing yet."""
    code = (
        "import auth_server, gateway, services.product.main\n"
        "from shared.observability.metrics import exposition\n"
        "print(exposition().decode())"
    )
    command = [sys.executable, "-c", code]
    ran = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert "http_requests_in_flight 0.0" in ran.stdout
    assert not [line for line in ran.stdout.splitlines() if line.startswith(OWNED)]


def test_a_gauge_says_what_its_latest_owner_does() -> None:
    gauge = Gauge("test_gauge", "For this test", registry=None)
    assert REGISTRY.get_sample_value("test_gauge") is None
    metrics.show(gauge, lambda: 1)
    metrics.show(gauge, lambda: 2)
    assert REGISTRY.get_sample_value("test_gauge") == 2
    REGISTRY.unregister(gauge)
