"""Spreading revocations: the writing side, used by the auth server.

The auth server's database is the truth; the store (Valkey or Redis) is how every gateway hears of it at once.
A store can lose things: it is wiped, it restarts without its last second, a replica takes over. So it holds
a marker which says that everything is there, and the marker's value is the `run_id` of the server process
that it was written to. A marker of another run counts as none, and then the auth server writes everything
again, the marker last (`restore`).

Writes never weaken: of two cut-offs, and of two expiries, the later one stays, in whatever order they come.
"""

import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self, cast

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from shared.auth.revocation_list import Revocation
from shared.config import Secret
from shared.errors import Unavailable
from shared.observability.trouble import IntermittentTrouble
from shared.runtime import NeedsOperator

MARKER_PREFIX = "revocations:"
MARKER = f"{MARKER_PREFIX}complete"
SIGNING_KEYS_CHANGED = "signing-keys:changed"  # touched whenever the JWKS changes

ANSWER_SECONDS = 1.0  # a store that takes longer is away; a logout waits for it
RETRY_AFTER_SECONDS = 1.0
BATCH = 500  # revocations in one command: far below what would hold up the store's other clients
RESTORE_SECONDS = 60  # a restore that takes longer is given up and starts again

_WRITE = """
for i, key in ipairs(KEYS) do
  local at, expires = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  at = math.max(at, tonumber(redis.call('GET', key) or 0) or 0)
  expires = math.max(expires, redis.call('PEXPIRETIME', key))
  redis.call('SET', key, string.format('%.0f', at), 'PXAT', string.format('%.0f', expires))
end
"""
# Only if nothing was wiped since the restore began: a wipe takes the token (KEYS[1]) along.
_COMPLETE = """
if redis.call('DEL', KEYS[1]) == 0 then return 0 end
redis.call('SET', KEYS[2], ARGV[1])
return 1
"""

Read = Callable[[], Awaitable[Sequence[Revocation]]]

_log = logging.getLogger(__name__)


def store_client(url: Secret) -> Redis:
    """A client that fails soon rather than waits, so that its caller can say 503."""
    return Redis.from_url(
        url.value,
        protocol=2,
        decode_responses=True,
        socket_timeout=ANSWER_SECONDS,
        socket_connect_timeout=ANSWER_SECONDS,
        retry=Retry(NoBackoff(), 1),  # one more try, for a pooled connection that died while idle
    )


async def holds_everything(client: Redis) -> bool:
    """Whether the marker is there and of this very run of the store. Raises RedisError or OSError."""
    return bool(await client.get(MARKER) == await _run_id(client))


def what_is_wrong(failure: Exception) -> str:
    """What an operator should know of a RedisError or OSError: a store that refuses is not away."""
    said = " ".join(str(failure).split()) or type(failure).__name__
    if isinstance(failure, AuthenticationError):
        return f"the store wants another password than REDIS_URL or VALKEY_PASSWORD has ({said})"
    if isinstance(failure, ResponseError):  # out of memory, a replica, a user who may not
        return f"the store refuses what it is asked for ({said})"
    return f"the store does not answer ({said})"


async def _run_id(client: Redis) -> str:
    server: dict[str, Any] = await client.info("server")
    return str(server.get("run_id", "unknown"))  # not every hosted store tells


class RevocationStore:
    """The store at `url`; an async context manager. Its methods raise Unavailable when it does not answer."""

    def __init__(self, url: Secret) -> None:
        self._client = store_client(url)
        self._trouble = IntermittentTrouble(_log, "revocation store fails", "revocation store works again")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def write(self, revocations: Sequence[Revocation]) -> None:
        """Revoke; returns when the store has acknowledged all of it. Each must expire some day."""
        async with self._acknowledged():
            for start in range(0, len(revocations), BATCH):
                await self._write_batch(revocations[start : start + BATCH])

    async def is_complete(self) -> bool:
        """False after a wipe or a restart, until `restore` has succeeded."""
        async with self._acknowledged():
            return await holds_everything(self._client)

    async def restore(self, read: Read) -> bool:
        """Write everything that `read` returns, then the marker. False when the store was wiped meanwhile.

        `read` is called after the restore has announced itself, so that a wipe at any moment is noticed.
        """
        token = f"restoring:{MARKER_PREFIX}{secrets.token_hex(16)}"
        async with self._acknowledged():
            run_id = await _run_id(self._client)
            await self._client.set(token, "1", ex=RESTORE_SECONDS)
        await self.write(await read())
        async with self._acknowledged():
            return bool(await self._client.eval(_COMPLETE, 2, token, MARKER, run_id))

    async def announce_signing_keys(self) -> None:
        """Have every gateway fetch the JWKS again."""
        async with self._acknowledged():
            await self._client.set(SIGNING_KEYS_CHANGED, secrets.token_hex(8))

    async def check(self) -> None:
        """For Readiness: raises Unavailable, whose detail tells the operator why, while calls would fail.

        A password that the store does not accept is NeedsOperator.
        """
        try:
            async with self._acknowledged():
                await self._client.ping()
        except Unavailable as away:
            failure = cast("Exception", away.__cause__)
            kind = NeedsOperator if isinstance(failure, AuthenticationError) else Unavailable
            raise kind(what_is_wrong(failure)) from away

    async def _write_batch(self, revocations: Sequence[Revocation]) -> None:
        keys = [revocation.key for revocation in revocations]
        values = [f"{value:.0f}" for each in revocations for value in (each.at_ms, each.expires_ms)]
        await self._client.eval(_WRITE, len(keys), *keys, *values)

    @asynccontextmanager
    async def _acknowledged(self) -> AsyncIterator[None]:
        try:
            yield
        except (RedisError, OSError) as failure:
            self._trouble.failed(type(failure).__name__, detail=what_is_wrong(failure))
            detail = "The revocation store does not answer."
            raise Unavailable(detail, retry_after=RETRY_AFTER_SECONDS) from failure
        self._trouble.worked()
