"""The mirror of the revocations in a gateway's memory: asked at every request, waits for nothing.

One connection to the store is kept for hearing of changes. It turns on client tracking (BCAST) for the
prefixes of the keys concerned and redirects the invalidations to itself, so that *any* writer of such a key
is noticed, whatever it uses. What was heard of is then read over a second connection.

- Subscribe first, then load, then only add: what happens in between is heard and applied after the load.
  Entries leave by their own expiry, never because the store has lost them.
- A load counts only if the store holds everything, by its marker. After a wipe we keep what we have, and hear
  of everything new, but cannot know what was written before we came.
- The mirror's age is the time since the last PONG on that very connection that came while all this was true.
  Messages are handled strictly one after the other, so a PONG also proves that what came before is applied.
- Too old a mirror refuses nobody and allows nobody: `is_fresh()` is False and the gateway answers 503.
"""

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Self

from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from shared.auth.jwt import Claims
from shared.auth.revocation_list import FOR_EVER_MS, PREFIX, Revocation, RevocationList
from shared.auth.revocation_store import (
    ANSWER_SECONDS,
    BATCH,
    MARKER_PREFIX,
    holds_everything,
    store_client,
    what_is_wrong,
)
from shared.config import Secret
from shared.errors import Unavailable
from shared.observability.metrics import (
    REVOCATION_AGE,
    REVOCATION_DELAY,
    REVOCATION_ENTRIES,
    expose,
    show,
)
from shared.observability.trouble import Trouble
from shared.tasks import background

STALE_SECONDS = 10.0  # setting REVOCATION_STALE_SECONDS
PING_SECONDS = 1.0
SILENCE_SECONDS = 4.0  # several pings unanswered: the link is dead even if TCP has not noticed
FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 0.05, 1.0  # between attempts to link, doubling

_INVALIDATIONS = "__redis__:invalidate"
_LINK_FAILURES = (RedisError, OSError, TimeoutError)

_log = logging.getLogger(__name__)


class RevocationMirror:
    """What the store at `url` says, in memory. An async context manager; entering it does not wait.

    `on_change` maps other keys of the store to what is called when one of them may have changed.
    `on_revoked` is called with every revocation that was not known before. `clock` gives monotonic seconds,
    `wall_clock` Unix seconds.
    """

    def __init__(
        self,
        url: Secret,
        *,
        stale_seconds: float = STALE_SECONDS,
        on_change: Mapping[str, Callable[[], None]] | None = None,
        on_revoked: Callable[[Revocation], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._url = url
        self._stale_seconds = stale_seconds
        self._on_change = dict(on_change or {})
        self._on_revoked = on_revoked
        self._clock = clock
        self._wall_clock = wall_clock
        self._list = RevocationList()
        self._is_complete = False  # since the last load, on the link there is now
        self._last_proof = -math.inf
        self._trouble = Trouble(
            _log,
            "revocations are not up to date",
            "revocations are up to date",
            reason="the store has not been reached yet",
        )
        self._client = store_client(url)
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        show(REVOCATION_AGE, self.age)
        show(REVOCATION_ENTRIES, lambda: len(self._list))
        expose(REVOCATION_DELAY)
        self._exits.push_async_callback(self._client.aclose)
        await self._exits.enter_async_context(background(self._stay_linked(), "revocation mirror"))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exits.aclose()

    def refuses(self, claims: Claims) -> bool:
        """Whether a token with these claims has been revoked, as far as we know; see `is_fresh`."""
        return self._list.refuses(claims)

    def refuses_key(self, key_id: str) -> bool:
        """Whether every token of that signing key has been revoked, likewise."""
        return self._list.refuses_key(key_id)

    def age(self) -> float:
        """Seconds since we last knew that we know everything; infinite before the first load."""
        return self._clock() - self._last_proof

    def is_fresh(self) -> bool:
        """Whether `refuses` can be relied on."""
        return self.age() <= self._stale_seconds

    async def check(self) -> None:
        """For Readiness: raises Unavailable, with the reason, while the mirror is not fresh."""
        if not self.is_fresh():
            raise Unavailable(f"revocations are not up to date: {self._trouble.reason}")

    # The link

    async def _stay_linked(self) -> None:
        pause = FIRST_RETRY_SECONDS
        while True:
            before = self._last_proof
            try:
                await self._live()
            except _LINK_FAILURES as failure:
                self._trouble.is_now(what_is_wrong(failure))
            pause = FIRST_RETRY_SECONDS if self._last_proof > before else min(2 * pause, LAST_RETRY_SECONDS)
            await asyncio.sleep(pause)

    async def _live(self) -> None:
        """One link's whole life; ends with one of _LINK_FAILURES."""
        async with self._linked() as link:
            await self._load()
            for changed in self._on_change.values():
                changed()  # it may have changed while we were not listening
            async with background(_keep_pinging(link), "revocation pings"):
                while True:
                    await self._handle(await _next_message(link))

    @asynccontextmanager
    async def _linked(self) -> AsyncIterator[AbstractConnection]:
        pool = ConnectionPool.from_url(
            self._url.value,
            protocol=2,  # with RESP 3 the client library would take the invalidations for itself
            decode_responses=True,
            socket_timeout=None,  # silence is noticed by SILENCE_SECONDS
            socket_connect_timeout=ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 0),  # reconnecting behind our back would lose the tracking
        )
        link: AbstractConnection = pool.make_connection()  # type: ignore[no-untyped-call]
        try:
            async with asyncio.timeout(SILENCE_SECONDS):
                await link.connect()  # type: ignore[no-untyped-call]
                await self._track(link)
            yield link
        finally:
            self._is_complete = False
            await link.disconnect(nowait=True)

    async def _track(self, link: AbstractConnection) -> None:
        own_id = await _call(link, "CLIENT", "ID")
        prefixes = [PREFIX, MARKER_PREFIX, *self._on_change]
        options = [word for prefix in prefixes for word in ("PREFIX", prefix)]
        await _call(link, "CLIENT", "TRACKING", "ON", "REDIRECT", own_id, "BCAST", *options)
        await _call(link, "SUBSCRIBE", _INVALIDATIONS)

    async def _handle(self, message: Sequence[Any]) -> None:
        match message:
            case ["pong", *_]:
                self._proven()
            case ["message", _, None]:  # the whole store was wiped
                await self._load()
            case ["message", _, keys]:
                await self._changed(keys)

    def _proven(self) -> None:
        now = self._clock()
        self._list.drop_expired(self._wall_clock() * 1000)
        if self._is_complete:
            self._last_proof = now
            self._trouble.is_over(entries=len(self._list))

    async def _changed(self, keys: Sequence[str]) -> None:
        for entry in await self._read([key for key in keys if key.startswith(PREFIX)]):
            if self._list.add(entry):
                self._time(entry)
                self._on_revoked(entry)
        if any(key.startswith(MARKER_PREFIX) for key in keys):
            await self._load()
        for key in self._on_change.keys() & set(keys):
            self._on_change[key]()

    def _time(self, entry: Revocation) -> None:
        """How long it took to get here, for /metrics.

        Until we have once known everything, what is pushed may be the filling of an empty store.
        """
        if math.isfinite(self._last_proof) and entry.at_ms < FOR_EVER_MS:
            delay = self._wall_clock() - entry.at_ms / 1000  # below 0 when the database's clock is ahead
            REVOCATION_DELAY.observe(max(0.0, delay))

    # Reading the store

    async def _load(self) -> None:
        keys: list[str] = []
        async for key in self._client.scan_iter(match=f"{PREFIX}*", count=BATCH):
            keys.append(key)
            if len(keys) == BATCH:
                await self._add(keys)
                keys = []
        await self._add(keys)
        self._is_complete = await holds_everything(self._client)
        if not self._is_complete:
            self._trouble.is_now("the store was wiped or restarted and is not filled again yet")

    async def _add(self, keys: Sequence[str]) -> None:
        for entry in await self._read(keys):
            if self._list.add(entry):
                self._on_revoked(entry)

    async def _read(self, keys: Sequence[str]) -> list[Revocation]:
        """What `keys` hold now; a key that is gone again takes nothing from us."""
        if not keys:
            return []
        async with self._client.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.get(key)
                pipeline.pexpiretime(key)
            answers = await pipeline.execute()
        entries = [
            Revocation.from_entry(key, value, expires_ms if expires_ms > 0 else math.inf)
            for key, value, expires_ms in zip(keys, answers[::2], answers[1::2], strict=True)
            if value is not None
        ]
        return [entry for entry in entries if entry is not None]


async def _call(link: AbstractConnection, *words: Any) -> Any:
    await link.send_command(*words)
    return await link.read_response()


async def _next_message(link: AbstractConnection) -> Sequence[Any]:
    async with asyncio.timeout(SILENCE_SECONDS):
        answer: Sequence[Any] = await link.read_response()
    return answer


async def _keep_pinging(link: AbstractConnection) -> None:
    try:
        while True:
            await link.send_command("PING")
            await asyncio.sleep(PING_SECONDS)
    except _LINK_FAILURES:
        pass  # whoever reads from the link notices too, and ends it
