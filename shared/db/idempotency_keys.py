"""Idempotency keys in a service's own database: whatever is asked again takes effect once.

A call first claims its key. Its answer is kept in the transaction of its effect, so there is never one
without the other. A claim that is not followed by an answer, because its process died, runs out after
CLAIM_SECONDS; whoever then claims the key shuts out a first holder that was only slow: `keep` fails, and so
does its effect.

Each service that takes such keys has this table in a migration of its own, and does `upkeep`:

    CREATE TABLE idempotency_keys (
        user_id       uuid        NOT NULL,
        method        text        NOT NULL,
        path          text        NOT NULL,
        key           text        NOT NULL,
        fingerprint   bytea       NOT NULL,               -- of what was asked
        claim         uuid        NOT NULL,               -- the attempt that has the key, or had it last
        claimed_until timestamptz NOT NULL,
        status        smallint,                           -- of the answer; NULL while there is none
        headers       jsonb,
        body          bytea,
        claimed_at    timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (user_id, method, path, key)
    );

    CREATE INDEX idempotency_keys_by_age ON idempotency_keys (claimed_at);
"""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from uuid import UUID

from psycopg.types.json import Jsonb

from shared.crash_points import crash_points_around
from shared.db.database import Database
from shared.db.statements import execute, one
from shared.duties import Duty
from shared.errors import Conflict, Invalid
from shared.ids import new_id

KEPT_HOURS = 24
CLAIM_SECONDS = 30  # longer than any call takes: a gateway waits no longer for its answer
IN_USE_RETRY_SECONDS = 1.0
FORGET_SECONDS = 3600.0  # little, beside the day that keys are kept

# That a claim survives a crash of the server is of no use to anybody: this commit need not wait for the disk.
_CLAIM = """
    WITH unhurried AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
    INSERT INTO idempotency_keys AS former
        (user_id, method, path, key, fingerprint, claim, claimed_until)
    SELECT %(user_id)s, %(method)s, %(path)s, %(key)s, %(fingerprint)s, %(claim)s,
        now() + make_interval(secs => %(claim_seconds)s)
    FROM unhurried
    ON CONFLICT (user_id, method, path, key) DO UPDATE
    SET (fingerprint, claim, claimed_until, status, headers, body, claimed_at)
      = (EXCLUDED.fingerprint, EXCLUDED.claim, EXCLUDED.claimed_until, NULL, NULL, NULL, now())
    WHERE former.claimed_at < now() - make_interval(hours => %(kept_hours)s)
       OR (former.status IS NULL AND former.claimed_until < now())
    RETURNING claim"""
_FIND = """
    SELECT fingerprint, status, headers, body FROM idempotency_keys
    WHERE (user_id, method, path, key) = (%(user_id)s, %(method)s, %(path)s, %(key)s)"""
_KEEP = """
    UPDATE idempotency_keys SET (status, headers, body) = (%s, %s, %s)
    WHERE (user_id, method, path, key, claim) = (%s, %s, %s, %s, %s) AND status IS NULL"""
_GIVE_UP = """
    DELETE FROM idempotency_keys
    WHERE (user_id, method, path, key, claim) = (%s, %s, %s, %s, %s) AND status IS NULL"""
_FORGET = "DELETE FROM idempotency_keys WHERE claimed_at < now() - make_interval(hours => %s)"


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a key counts: with one user, and for one method and path."""

    user_id: UUID
    method: str
    path: str
    key: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What the first call was answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to do what was asked under a key; `attempt` tells it from an earlier one."""

    scope: Scope
    attempt: UUID


class IdempotencyKeys:
    """The keys of one service. Every method raises Unavailable while the database is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def transaction(self) -> AbstractAsyncContextManager[object]:
        """For an effect together with its `keep`."""
        return self._database.transaction()

    async def claim(self, scope: Scope, fingerprint: bytes) -> Claim | Answer:
        """The right to go on, or the answer that was given already to the same `fingerprint`.

        Raises Conflict while another call under this key is at work, Invalid when it was used for something
        else.
        """
        claim = Claim(scope, new_id())
        values = {
            **_columns(scope),
            "fingerprint": fingerprint,
            "claim": claim.attempt,
            "claim_seconds": CLAIM_SECONDS,
            "kept_hours": KEPT_HOURS,
        }
        with crash_points_around("claim_of_key"):
            is_ours = await one(self._database, _CLAIM, values) is not None
        if is_ours:
            return claim
        row = await one(self._database, _FIND, values)
        if row is None or (row[0] == fingerprint and row[1] is None):
            raise _in_use("A request with this Idempotency-Key is being answered right now.")
        if row[0] != fingerprint:
            raise Invalid(
                "This Idempotency-Key has been used for another request.", code="idempotency-key-reused"
            )
        return Answer(row[1], row[2], row[3])

    async def keep(self, claim: Claim, answer: Answer) -> None:
        """The answer, from now on, of all calls under this key. Raises Conflict when it was taken over."""
        values = [answer.status, Jsonb(dict(answer.headers)), answer.body, *_identity(claim)]
        if await execute(self._database, _KEEP, values) != 1:
            raise _in_use("Another request with this Idempotency-Key has taken over.")

    async def give_up(self, claim: Claim) -> None:
        """The key is as it was before the claim."""
        await execute(self._database, _GIVE_UP, _identity(claim))

    def upkeep(self) -> Duty:
        """What a service that takes keys has to do now and then."""
        return Duty("old idempotency keys", self.forget, FORGET_SECONDS)

    async def forget(self) -> None:
        """Let go of what need not be kept any longer."""
        await execute(self._database, _FORGET, [KEPT_HOURS])


def _in_use(detail: str) -> Conflict:
    return Conflict(detail, code="idempotency-key-in-use", retry_after=IN_USE_RETRY_SECONDS)


def _columns(scope: Scope) -> dict[str, object]:
    return {"user_id": scope.user_id, "method": scope.method, "path": scope.path, "key": scope.key}


def _identity(claim: Claim) -> list[object]:
    return [*_columns(claim.scope).values(), claim.attempt]
