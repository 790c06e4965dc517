"""Who is in which room, in the Valkey (or Redis) that all WebSocket gateways share.

presence:<room_id> is a sorted set of "<gateway_id>:<user_id>"; the score is the Unix time in milliseconds at
which the entry expires, by the store's own clock, since no two hosts' agree. The set is the truth. Whoever
changes it publishes the room's id on the channel "presence", and a nudge that is lost costs only time.
"""

import logging
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Self

from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from services.ws_gateway.domain.presence import Report, Sight, Terms
from shared.auth.revocation_store import store_client, what_is_wrong
from shared.config import Secret
from shared.errors import Unavailable

PREFIX = "presence:"
CHANNEL = "presence"

PING_SECONDS = 1.0  # a link so long silent is asked whether it lives
UNANSWERED_PINGS = 3  # then it is dead, even if TCP has not noticed

# An entry that ends is never made to live longer, nor made when it is not there: XX LT. The first line has a
# store that is out of memory refuse the script.
_EXCHANGE = """#!lua
local channel, room = ARGV[1], ARGV[2]
local life, grace, users_at_most = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local first_here, first_gone = 7, 7 + tonumber(ARGV[6])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)

local added, ending = 0, 0
for i = first_here, first_gone - 1 do
  added = added + redis.call('ZADD', KEYS[1], now + life, ARGV[i])
end
for i = first_gone, #ARGV do
  ending = ending + redis.call('ZADD', KEYS[1], 'XX', 'LT', 'CH', now + grace, ARGV[i])
end
redis.call('PEXPIRE', KEYS[1], math.max(life, grace))
if added + ending > 0 then redis.call('PUBLISH', channel, room) end

local users, seen = {}, {}
for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  if #users == users_at_most then break end
  local user = string.sub(member, string.find(member, ':', 1, true) + 1)
  if not seen[user] then
    seen[user] = true
    users[#users + 1] = user
  end
end
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
return {added, first and first - now or life, users}
"""

_log = logging.getLogger(__name__)


class ValkeyPresenceStore:
    """The store at `url`, for one process; an async context manager. See the Protocol PresenceStore."""

    def __init__(self, url: Secret) -> None:
        self._gateway_id = secrets.token_hex(8)  # a process started again takes over nothing
        self._client = store_client(url)
        self._script = self._client.register_script(_EXCHANGE)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def exchange(self, reports: Sequence[Report], terms: Terms) -> Sequence[Sight]:
        """All in one pipeline, each room's at one moment. Raises Unavailable."""
        async with _answering(), self._client.pipeline(transaction=False) as pipeline:
            for report in reports:
                key = f"{PREFIX}{report.room_id}"
                await self._script([key], self._arguments(report, terms), client=pipeline)
            answers = await pipeline.execute(raise_on_error=False)  # which would quote the command
            _raise_the_first_refusal(answers)
        return [Sight(frozenset(users), ms / 1000, added) for added, ms, users in answers]

    async def listen(self, nudged: Callable[[str], None]) -> None:
        """One link's whole life. Raises Unavailable when it has ended."""
        async with _answering(), self._client.pubsub(ignore_subscribe_messages=True) as link:
            await link.subscribe(CHANNEL)
            await _hear(link, nudged)
        raise Unavailable("the store does not answer (silence)")

    def _arguments(self, report: Report, terms: Terms) -> list[str | int]:
        life_ms, grace_ms = round(terms.life_seconds * 1000), round(terms.grace_seconds * 1000)
        counts = [life_ms, grace_ms, terms.members_at_most + 1, len(report.here)]
        members = [f"{self._gateway_id}:{user_id}" for user_id in (*report.here, *report.gone)]
        return [CHANNEL, report.room_id, *counts, *members]


def _raise_the_first_refusal(answers: Sequence[object]) -> None:
    for answer in answers:
        if isinstance(answer, RedisError):
            raise answer


async def _hear(link: PubSub, nudged: Callable[[str], None]) -> None:
    """Returns when the link has been silent too long."""
    unanswered = 0
    while unanswered <= UNANSWERED_PINGS:
        message = await link.get_message(timeout=PING_SECONDS)
        if message is None:
            unanswered += 1
            await link.ping()
            continue
        unanswered = 0
        if message["type"] == "message":
            nudged(message["data"])


@asynccontextmanager
async def _answering() -> AsyncIterator[None]:
    """The client library's errors leave the block as Unavailable, the cause is kept."""
    try:
        yield
    except (RedisError, OSError) as failure:
        raise Unavailable(what_is_wrong(failure)) from failure
