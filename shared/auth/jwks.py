"""The verification keys of the auth server, kept at hand and kept fresh (RFC 7517 section 5).

Four rules:

- The hot path reads `keys` and waits for nothing.
- The set is fetched again every LIFETIME_SECONDS, and at once when the store tells of a change. The issuer
  publishes a new key for longer than that before it signs with it, so normally nobody meets an unknown key.
- A fetch that fails changes nothing: old keys are better than none.
- An unknown `kid` asks for one fetch, but never sooner than SPACING_SECONDS after the one before; all who
  come in between wait for the same next one. So a real new key waits for the spacing and a fetch or
  two, however many forged ids are thrown at us, and the issuer sees at most one request in that time. A `kid`
  that a successful fetch has not brought is refused without another one for COOL_DOWN_SECONDS.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Self

from shared.auth.jwk import KeySet
from shared.errors import Unavailable
from shared.observability.trouble import Trouble
from shared.tasks import background

JWKS_PATH = "/.well-known/jwks.json"  # where the issuer publishes them

LIFETIME_SECONDS = 300.0
SPACING_SECONDS = 1.0
FETCH_SECONDS = 3.0  # the issuer is a neighbour; a caller waits for this
COOL_DOWN_SECONDS = 30.0
MAX_ABSENT = 1_024  # forged ids remembered; past that, the oldest may cost another wait
FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 0.2, 5.0  # after a failed fetch, doubling
RETRY_AFTER_SECONDS = 1.0  # what we tell clients; the next fetch is over by then, or a few later

Fetch = Callable[[], Awaitable[bytes]]

_log = logging.getLogger(__name__)


class JWKSCache:
    """A key set behind `fetch`, which returns a JWK Set document. An async context manager.

    Entering it does not wait for the issuer; `clock` gives monotonic seconds.
    """

    def __init__(
        self,
        fetch: Fetch,
        *,
        lifetime: float = LIFETIME_SECONDS,
        spacing: float = SPACING_SECONDS,
        cool_down: float = COOL_DOWN_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.keys = KeySet()
        self.is_loaded = False
        self._trouble = Trouble(_log, "keys not fetched", "keys fetched", reason="not tried yet")
        self._fetch = fetch
        self._lifetime = lifetime
        self._spacing = spacing
        self._cool_down = cool_down
        self._clock = clock
        self._next = _new_future()  # the fetch that has not started yet
        self._due = asyncio.Event()
        self._absent: OrderedDict[str, float] = OrderedDict()  # kid → when a fetch did not bring it
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._exits.enter_async_context(background(self._stay_fresh(), "jwks"))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exits.aclose()
        self._next.cancel()

    async def refresh_for(self, key_id: str) -> None:
        """Give an unknown `key_id` its chance: afterwards `keys` has it, or it is not to be had now.

        Raises Unavailable when no key has ever been fetched, because then we cannot judge any token.
        """
        if key_id in self.keys or self._is_known_absent(key_id):
            return
        fetched = await self._next_fetch()
        if not self.is_loaded:
            detail = "The signing keys cannot be fetched at the moment."
            raise Unavailable(detail, retry_after=RETRY_AFTER_SECONDS)
        if fetched and key_id not in self.keys:
            self._remember_absent(key_id)

    def refresh_soon(self) -> None:
        """The issuer has changed its keys: fetch them in the background, known absences forgotten."""
        self._absent.clear()
        self._due.set()

    async def check(self) -> None:
        """For Readiness: raises Unavailable until keys have been fetched once."""
        if not self.is_loaded:
            raise Unavailable(f"no signing keys have been fetched yet: {self._trouble.reason}")

    async def _stay_fresh(self) -> None:
        """The only one who fetches, one fetch after the other."""
        retry = FIRST_RETRY_SECONDS
        while True:
            self._due.clear()
            served, self._next = self._next, _new_future()  # who comes from now on waits for the next one
            fetched = await self._try_to_fetch()
            served.set_result(fetched)
            retry = FIRST_RETRY_SECONDS if fetched else min(2 * retry, LAST_RETRY_SECONDS)
            started = self._clock()
            await self._until_due(self._lifetime if fetched else retry)
            await asyncio.sleep(self._spacing - (self._clock() - started))

    async def _until_due(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._due.wait()
        except TimeoutError:
            pass

    async def _try_to_fetch(self) -> bool:
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                keys = KeySet.from_json(await self._fetch())
        except Exception as failure:
            self._trouble.is_now(str(failure) or type(failure).__name__)
            return False
        self._trouble.is_over()
        self.keys, self.is_loaded = keys, True
        return True

    async def _next_fetch(self) -> bool:
        """Wait for a fetch that starts after this call; callers share it. True when it has succeeded."""
        self._due.set()
        return await asyncio.shield(self._next)

    def _is_known_absent(self, key_id: str) -> bool:
        since = self._absent.get(key_id)
        return since is not None and self._clock() - since < self._cool_down

    def _remember_absent(self, key_id: str) -> None:
        self._absent[key_id] = self._clock()
        self._absent.move_to_end(key_id)
        if len(self._absent) > MAX_ABSENT:
            self._absent.popitem(last=False)


def _new_future() -> asyncio.Future[bool]:
    return asyncio.get_running_loop().create_future()
