"""`Idempotency-Key` for handlers (draft-ietf-httpapi-idempotency-key-header): asked twice, done once.

    async def deposit(self, request: Request) -> Response:
        body = await read_json(request, DepositBody, self._rules)

        async def work(call: ClaimedCall) -> Response:
            async with call.effect():
                deposit = await self._wallets.deposit(…)
                return await call.keep(json_response(201, …))

        return await self._idempotent.answer(request, body, work)

What is asked again, with the same content, gets the first answer, marked `Idempotent-Replayed: true`; with
another content, 422; while the first is still being worked at, 409. Refusals (4xx) are answers as well, but
for those that ask to be tried again later. Failures of ours (5xx) are not kept, and may be asked again.
"""

import hashlib
import logging
import re
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from uuid import UUID

import msgspec

from shared.db.idempotency_keys import Answer, Claim, IdempotencyKeys, Scope
from shared.errors import ApplicationError, Malformed, Unavailable
from shared.http.messages import Request, Response
from shared.http.problems import problem

HEADER = "Idempotency-Key"
REPLAYED = ("Idempotent-Replayed", "true")
# A string of RFC 8941, as the draft wants it, or the bare text that most clients send.
_KEY = re.compile(r'"(?P<quoted>[\x20-\x21\x23-\x5b\x5d-\x7e]{1,255})"|(?P<bare>[\x21\x23-\x7e]{1,255})')
_SERVER_ERRORS = 500

_log = logging.getLogger(__name__)


class ClaimedCall:
    """A call that has its key: what it does inside `effect` is true together with its answer."""

    def __init__(self, keys: IdempotencyKeys, claim: Claim) -> None:
        self._keys = keys
        self._claim = claim
        self.is_answered = False

    def effect(self) -> AbstractAsyncContextManager[object]:
        """One transaction, which all use cases inside the block join."""
        return self._keys.transaction()

    async def keep(self, response: Response) -> Response:
        """`response`, kept for whoever asks again. Raises Conflict when another has taken the key over."""
        assert isinstance(response.body, bytes), "a stream cannot be kept"
        await self._keys.keep(self._claim, Answer(response.status, dict(response.headers), response.body))
        self.is_answered = True
        return response


Work = Callable[[ClaimedCall], Awaitable[Response]]
Replay = Callable[[Response], Awaitable[Response]]


class IdempotentCalls:
    """The calls of one service that take a key. Raises Unavailable while the database is away."""

    def __init__(self, keys: IdempotencyKeys) -> None:
        self._keys = keys

    async def answer(
        self,
        request: Request,
        content: msgspec.Struct,
        work: Work,
        replay: Replay | None = None,
    ) -> Response:
        """What `work` answers, or answered the first time; `replay` may turn that into what is true now.

        `content` is what is asked: equal content is an equal call. The request has a principal. Raises
        Malformed without a key, Conflict, Invalid.
        """
        user_id = UUID(request.principal.user_id)
        scope = Scope(user_id, request.method, _resource(request), read_key(request))
        claimed = await self._keys.claim(scope, hashlib.sha256(msgspec.json.encode(content)).digest())
        if isinstance(claimed, Answer):
            first = Response(claimed.status, [*claimed.headers.items(), REPLAYED], claimed.body)
            return first if replay is None else await replay(first)
        return await self._work(request, work, ClaimedCall(self._keys, claimed), claimed)

    async def _work(self, request: Request, work: Work, call: ClaimedCall, claim: Claim) -> Response:
        try:
            return await work(call)
        except ApplicationError as failure:
            refusal = problem(failure, request.id)
            if refusal.status < _SERVER_ERRORS and failure.retry_after is None and not call.is_answered:
                return await call.keep(refusal)
            await self._give_up(claim)
            raise
        except BaseException:
            await self._give_up(claim)
            raise

    async def _give_up(self, claim: Claim) -> None:
        """If that fails, the claim runs out by itself."""
        try:
            await self._keys.give_up(claim)
        except Unavailable as away:
            _log.warning("an idempotency key stays claimed for a while", extra={"reason": away.detail})


def _resource(request: Request) -> str:
    """The path as the router has understood it: a client can spell one path in many ways."""
    return request.route.format_map(request.parameters) or request.path


def read_key(request: Request) -> str:
    """The request's key. Raises Malformed when there is none that can be used."""
    text = request.headers.get(HEADER.lower())
    if text is None:
        raise Malformed(f"This call needs the header {HEADER}.", code="idempotency-key-missing")
    found = _KEY.fullmatch(text.strip())
    if found is None:
        raise Malformed(f"{HEADER} must be 1 to 255 printable characters.", code="idempotency-key-malformed")
    return found["quoted"] or found["bare"]
