"""The gateway's full pipeline (token, revocations, signed identity, log line, metrics) beside plain nginx.

Each has one core, in turns; the load and the upstream share the other. The upstream is nginx too, so that it
is not what is measured. The table's last line is the ratio of the medians.
"""

import base64
import json
import os
import secrets
import shutil
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template

import jwt
import redis
from cryptography.hazmat.primitives.asymmetric import ec

from bench.load import CONNECTIONS, requests_per_second
from bench.machine import OTHER_CORE, SUBJECT_CORE, cpu_seconds, free_port, running, wait_for_port
from shared.auth.revocation_store import MARKER
from shared.config import CHECKOUT, Environment
from shared.ids import new_id
from shared.ports import OFFSETS

TOKEN_SECONDS = 3600
PATH = "/products/0190163d-8694-739b-aea5-966c26f8ad91"
NGINX_CONF = Path(__file__).with_name("nginx.conf")

_PROXY = """
    upstream peer { server 127.0.0.1:$UPSTREAM; keepalive 64; }
    server {
        listen 127.0.0.1:$PORT;
        location / { proxy_pass http://peer; proxy_http_version 1.1; proxy_set_header Connection ""; }
    }"""
_ANSWERS = """
    server {
        listen 127.0.0.1:$PORT;
        default_type application/json;
        location = /.well-known/jwks.json { return 200 '$KEYS'; }
        location / { return 200 '$ANSWER'; }
    }"""
_GATEWAY = """
listen = "127.0.0.1:$PORT"
admin = "127.0.0.1:$ADMIN"
[upstream.product]
targets = ["http://127.0.0.1:$UPSTREAM"]
identity = "product"
[[route]]
prefix = "/products"
upstream = "product"
auth = "required"
"""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two that are compared."""

    name: str
    url: str
    pid: int


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side did in one turn."""

    requests: float  # per second
    per_cpu_second: float  # requests per second of processor time: hardly moved by what else is running


def measure_gateway(rounds: int, seconds: int) -> int:
    """Prints requests per second of both sides; exit status."""
    has_nginx = shutil.which("nginx") is not None
    with tempfile.TemporaryDirectory() as name, ExitStack() as started:
        folder = Path(name)
        key, keys = _signing_key()
        upstream = started.enter_context(_upstream(folder, keys, native=has_nginx))
        port, pid = started.enter_context(_gateway(folder, upstream))
        sides = [Side("plainstack", f"http://127.0.0.1:{port}{PATH}", pid)]
        if has_nginx:
            peer, pid = started.enter_context(
                _nginx(folder, "proxy", _PROXY, SUBJECT_CORE, UPSTREAM=upstream)
            )
            sides.append(Side("nginx", f"http://127.0.0.1:{peer}{PATH}", pid))
        else:
            print("nginx is not installed: no peer to compare with", file=sys.stderr)
        token = _token(key, port)
        _wait_until_accepted(sides[0].url, token)
        _print(_take_turns(sides, token, rounds, seconds))
    return 0


def _take_turns(sides: list[Side], token: str, rounds: int, seconds: int) -> dict[str, list[Turn]]:
    turns: dict[str, list[Turn]] = {side.name: [] for side in sides}
    for side in sides:
        requests_per_second(side.url, token, 1)  # warm up
    for _ in range(rounds):
        for side in sides:
            before = cpu_seconds(side.pid)
            requests = requests_per_second(side.url, token, seconds)
            spent = cpu_seconds(side.pid) - before
            turns[side.name].append(Turn(requests, requests * seconds / spent))
    return turns


def _print(turns: dict[str, list[Turn]]) -> None:
    print(f"{CONNECTIONS} connections, one core for each side in turn; requests per second, and per second")
    print("of processor time")
    for side, each in turns.items():
        row = "  ".join(f"{turn.requests:6.0f} {turn.per_cpu_second:6.0f}" for turn in each)
        print(f"{side:12} median {_median(each):6.0f} {_cpu_median(each):6.0f}   rounds  {row}")
    if "nginx" in turns:
        ours, theirs = turns["plainstack"], turns["nginx"]
        print(f"plainstack / nginx = {_median(ours) / _median(theirs):.2f} of the requests per second")
        print(f"plainstack / nginx = {_cpu_median(ours) / _cpu_median(theirs):.2f} by processor time")


def _median(turns: list[Turn]) -> float:
    return statistics.median(turn.requests for turn in turns)


def _cpu_median(turns: list[Turn]) -> float:
    return statistics.median(turn.per_cpu_second for turn in turns)


# What takes part


@contextmanager
def _gateway(folder: Path, upstream: int) -> Iterator[tuple[int, int]]:
    """The gateway with its store: its port and process id."""
    base = _free_base()
    home = folder / "home"
    (home / "secrets").mkdir(parents=True, mode=0o700)
    port, admin = free_port(), free_port()
    settings = {
        "PORT_BASE": str(base),
        "PLAINSTACK_HOME": str(home),
        "AUTH_URL": f"http://127.0.0.1:{upstream}",
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "IDENTITY_KEY_GATEWAY_AUTH": _identity_key(),
        "IDENTITY_KEY_GATEWAY_PRODUCT": _identity_key(),
    }
    config = folder / "gateway.toml"
    config.write_text(Template(_GATEWAY).substitute(PORT=port, ADMIN=admin, UPSTREAM=upstream))
    valkey = [sys.executable, "-m", "scripts.support.valkey"]
    gateway = [sys.executable, str(CHECKOUT / "gateway.py"), "--config", str(config)]
    log = folder / "valkey.log"
    with running(valkey, OTHER_CORE, log, settings):
        wait_for_port(base + OFFSETS["valkey"], log)
        with redis.Redis.from_url(Environment({**os.environ, **settings}).redis_url().value) as store:
            store.set(MARKER, store.info("server")["run_id"])  # nothing is revoked, and that is all
        log = folder / "gateway.log"
        with running(gateway, SUBJECT_CORE, log, settings) as pid:
            wait_for_port(port, log)
            yield port, pid


@contextmanager
def _upstream(folder: Path, keys: str, *, native: bool) -> Iterator[int]:
    """What is proxied to: a 280-byte JSON answer, and the keys that tokens are checked with."""
    answer = json.dumps({"product_id": str(new_id()), "description": "x" * 213})
    if native:
        with _nginx(folder, "upstream", _ANSWERS, OTHER_CORE, KEYS=keys, ANSWER=answer) as (port, _):
            yield port
        return
    (folder / "answer.json").write_text(answer)
    (folder / "jwks.json").write_text(keys)
    port, log = free_port(), folder / "upstream.log"
    with running([sys.executable, "-m", "bench.upstream", str(port), str(folder)], OTHER_CORE, log, {}):
        wait_for_port(port, log)
        yield port


@contextmanager
def _nginx(folder: Path, role: str, servers: str, core: int, **values: object) -> Iterator[tuple[int, int]]:
    """Its port and process id."""
    port = free_port()
    block = Template(servers).substitute(PORT=port, **values)
    config = folder / f"{role}.conf"
    config.write_text(Template(NGINX_CONF.read_text()).substitute(FOLDER=folder, PORT=port, SERVERS=block))
    log = folder / f"{role}.log"
    with running(["nginx", "-c", str(config)], core, log, {}) as pid:
        wait_for_port(port, log)
        yield port, pid


# Tokens


def _signing_key() -> tuple[ec.EllipticCurvePrivateKey, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
    return key, json.dumps({"keys": [{**public, "kid": "bench", "use": "sig", "alg": "ES256"}]})


def _token(key: ec.EllipticCurvePrivateKey, port: int) -> str:
    issuer, now = f"http://127.0.0.1:{port}", time.time()
    claims = {
        "iss": issuer,
        "aud": issuer,
        "sub": str(new_id()),
        "client_id": "bench",
        "iat": now,
        "nbf": now,
        "exp": now + TOKEN_SECONDS,
        "jti": str(new_id()),
        "sid": str(new_id()),
        "roles": ["user"],
    }
    return jwt.encode(claims, key, "ES256", headers={"typ": "at+jwt", "kid": "bench"})


def _identity_key() -> str:
    return "k1:" + base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def _wait_until_accepted(url: str, token: str) -> None:
    """The gateway answers 503 until it has the keys and the revocations."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    deadline = time.monotonic() + 10
    while True:
        try:
            with urllib.request.urlopen(request, timeout=5):
                return
        except urllib.error.HTTPError as refused:
            if time.monotonic() > deadline:
                raise RuntimeError(refused.read().decode()) from refused
            time.sleep(0.1)


def _free_base() -> int:
    """A PORT_BASE whose port for the store is free."""
    return free_port() - OFFSETS["valkey"]
