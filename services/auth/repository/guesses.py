"""Attempts to guess, counted in PostgreSQL.

An attempt is counted and decided by one statement, under the lock of its row: however many come at once, each
sees what the one before it has left. The time is the database's, read once that lock was granted.

Rows are locked in one order, the address's before the account's.

Whoever waits for a row holds a connection: a hundred logins that arrive at the same moment would hold all of
them, and everything else that the server does would wait. So logins are counted one after the other. They
wait for that in a queue of our own, as many and as long as they would for a connection.
"""

from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any
from uuid import UUID

from psycopg.rows import TupleRow

from services.auth.domain.accounts import email_key
from services.auth.domain.guessing import (
    Attempt,
    Count,
    GuessedAt,
    GuessingLimits,
    Outcome,
    Proof,
    account_subject,
    address_subject,
    lock_durations,
    network_of,
    user_subject,
)
from services.auth.turns import Turns
from shared.db import pool
from shared.db.database import Database
from shared.db.statements import every, execute
from shared.errors import Unavailable

NETWORKS_KEPT = timedelta(days=90)  # unused; then the next login from there makes them known again
COUNTED_AT_ONCE = 1  # it takes a few milliseconds; more at once are hardly faster, for they share rows
DROPPED_AT_ONCE = 50_000  # rows; what a flood has left behind must not take longer than a statement may

# One row's part of the count. The first attempt makes the row. Another finds it as `kept`, and asks: was that
# long enough ago to be forgotten; is it locked; and if not, are there so many failures that it is now?
# What was decided leaves the statement as `last_outcome`: `admitted`; `locked`, which is admitted as the last
# one; or `refused`.
_COUNT = """
    INSERT INTO guesses AS kept (kind, subject, failures, first_attempt_at, last_attempt_at, last_outcome)
    SELECT '{kind}', {subject}, 1, now, now, 'admitted' FROM clock_timestamp() AS now {where}
    ON CONFLICT (kind, subject) DO UPDATE
    SET (first_attempt_at, failures, refused, locks, locked_until, last_attempt_at, last_outcome) = (
        SELECT CASE WHEN is_forgotten THEN now ELSE kept.first_attempt_at END,
            counted.failures,
            counted.refused + is_refused::integer,
            counted.locks + sets_lock::integer,
            CASE WHEN sets_lock THEN now + durations[least(counted.locks + 1, cardinality(durations))]
                ELSE kept.locked_until END,
            now,
            CASE WHEN is_refused THEN 'refused' WHEN sets_lock THEN 'locked' ELSE 'admitted' END
        FROM (SELECT clock_timestamp() AS now, %(durations)s::interval[] AS durations) AS moment
        CROSS JOIN LATERAL (SELECT
            now > {kept_until} AS is_forgotten,
            coalesce(now < kept.locked_until, false) AS is_refused) AS found
        CROSS JOIN LATERAL (SELECT
            CASE WHEN is_forgotten THEN 1 ELSE kept.failures + 1 END AS failures,
            CASE WHEN is_forgotten THEN 0 ELSE kept.refused END AS refused,
            CASE WHEN is_forgotten THEN 0 ELSE kept.locks END AS locks) AS counted
        CROSS JOIN LATERAL (SELECT
            NOT is_refused AND counted.failures - counted.refused >= %({kind}_limit)s AS sets_lock) AS decided
    )
    RETURNING kind, subject, last_outcome, last_attempt_at, locked_until"""

# From a network that the account knows, attempts count apart: strangers cannot lock its owner out, and
# whoever guesses there has no more guesses than they. Where there is no such account, nobody's networks are
# compared, so that both take the same steps.
_ACCOUNT = """CASE WHEN EXISTS (
    SELECT FROM known_networks WHERE network = %(network)s
    AND user_id = coalesce((SELECT user_id FROM owner), '00000000-0000-0000-0000-000000000000'))
    THEN %(account_at_home)s ELSE %(account)s END"""

# Reading `address` in `account` makes the rows be locked in that order.
_ACCOUNT_WHERE = ", address WHERE last_outcome <> 'refused'"

# An account, or a user, is remembered until nobody has tried for a while. Behind an address there may be many
# people, of whom there is always one who mistypes: it starts anew after that while, once its lock is over.
_UNTIL_QUIET = "greatest(kept.last_attempt_at, kept.locked_until) + %(window)s"
_WINDOW = "greatest(kept.first_attempt_at + %(window)s, kept.locked_until)"
_COUNT_ADDRESS = _COUNT.format(kind="address", subject="%(address)s", where="", kept_until=_WINDOW)
_COUNT_ACCOUNT = _COUNT.format(
    kind="account", subject=_ACCOUNT, where=_ACCOUNT_WHERE, kept_until=_UNTIL_QUIET
)
_COUNT_USER = _COUNT.format(kind="user", subject="%(user)s", where="", kept_until=_UNTIL_QUIET)

# Not waiting for the disk: everybody behind one address waits for its row, and a crash of the database may
# forgive what was guessed in its last moments.
_COUNT_LOGIN = f"""
    WITH owner AS (SELECT user_id FROM users WHERE email_key = %(email_key)s),
    address AS ({_COUNT_ADDRESS}), account AS ({_COUNT_ACCOUNT})
    SELECT (SELECT user_id FROM owner), counts.*
    FROM (SELECT 1 AS place, * FROM address UNION ALL SELECT 2, * FROM account) AS counts,
        set_config('synchronous_commit', 'off', true) ORDER BY place"""  # noqa: S608 - put together from what stands here

_TAKE_BACK = """
    UPDATE guesses
    SET failures = greatest(failures - 1, refused), locks = greatest(locks - %(own_locks)s, 0),
        locked_until = nullif(locked_until, %(own_lock)s)
    WHERE kind = %(kind)s AND subject = %(subject)s"""
_FORGET = "DELETE FROM guesses WHERE kind = %s AND subject = %s"
_FORGET_ACCOUNT = """
    DELETE FROM guesses WHERE (kind = 'account' AND substring(subject FROM 1 FOR %s) = %s)
    OR (kind = 'user' AND subject = ANY(%s))"""
_REMEMBER_NETWORK = """
    INSERT INTO known_networks (user_id, network, last_used_at) VALUES (%s, %s, clock_timestamp())
    ON CONFLICT (user_id, network) DO UPDATE SET last_used_at = clock_timestamp()"""

# Passes over rows that an attempt holds: it may be waiting for one that is held here.
_DROP_FORGOTTEN = """
    DELETE FROM guesses WHERE (kind, subject) IN (
        SELECT kind, subject FROM guesses
        WHERE last_attempt_at < clock_timestamp() - %(window)s::interval
        AND coalesce(locked_until < clock_timestamp() - %(window)s::interval, true)
        LIMIT %(at_once)s FOR UPDATE SKIP LOCKED)"""
_DROP_NETWORKS = "DELETE FROM known_networks WHERE last_used_at < clock_timestamp() - %s::interval"


class PostgresGuessRepository:
    """The domain's GuessRepository."""

    def __init__(self, database: Database, limits: GuessingLimits) -> None:
        self._database = database
        self._limits = limits
        self._turns = Turns(COUNTED_AT_ONCE, pool.MAX_WAITING, _too_many)
        self._common: dict[str, Any] = {
            "durations": list(lock_durations(limits.first_lock, limits.longest_lock)),
            "window": limits.window,
        }

    def unit_of_work(self) -> AbstractAsyncContextManager[object]:
        """One transaction, which the other methods join."""
        return self._database.transaction()

    async def count_login(self, email: str, address: str) -> Attempt:
        """Takes the same steps whether there is such an account or not."""
        values = {
            **self._common,
            "email_key": email_key(email),
            "network": network_of(address),
            "account": account_subject(email),
            "account_at_home": account_subject(email, address),
            "account_limit": self._limits.account_failures,
            "address": address_subject(address),
            "address_limit": self._limits.address_failures,
        }
        async with self._turns.one(pool.CHECKOUT_SECONDS):
            rows = await every(self._database, _COUNT_LOGIN, values)
        return Attempt(tuple(_count(row[2:]) for row in rows), rows[0][0])

    async def count_user(self, user_id: UUID, proof: Proof) -> Attempt:
        """By the account's limits."""
        subject, limit = user_subject(user_id, proof), self._limits.account_failures
        rows = await every(
            self._database, _COUNT_USER, {**self._common, "user": subject, "user_limit": limit}
        )
        return Attempt(tuple(map(_count, rows)), user_id)

    async def take_back(self, count: Count) -> None:
        """A lock is known by its end: one that another attempt has set stays."""
        has_locked = count.outcome is Outcome.LOCKED
        values = {
            "kind": count.guessed_at.value,
            "subject": count.subject,
            "own_lock": count.locked_until if has_locked else None,
            "own_locks": int(has_locked),
        }
        await execute(self._database, _TAKE_BACK, values)

    async def forget(self, count: Count) -> None:
        """The row goes."""
        await execute(self._database, _FORGET, [count.guessed_at.value, count.subject])

    async def forget_account(self, email: str, user_id: UUID) -> bool:
        """All its rows go."""
        account, users = account_subject(email), [user_subject(user_id, proof) for proof in Proof]
        return await execute(self._database, _FORGET_ACCOUNT, [len(account), account, users]) > 0

    async def forget_address(self, address: str) -> bool:
        """The row of its network goes."""
        subject = address_subject(address)
        return await execute(self._database, _FORGET, [GuessedAt.ADDRESS.value, subject]) > 0

    async def remember_network(self, user_id: UUID, network: str) -> None:
        """With the time, so that it can be forgotten when it is not used any more."""
        await execute(self._database, _REMEMBER_NETWORK, [user_id, network])

    async def drop_forgotten(self) -> None:
        """Delete what does not count any more; what is left over is for the next time."""
        values = {"window": self._limits.window, "at_once": DROPPED_AT_ONCE}
        await execute(self._database, _DROP_FORGOTTEN, values)
        await execute(self._database, _DROP_NETWORKS, [NETWORKS_KEPT])


def _too_many() -> Unavailable:
    return Unavailable("Too many logins at the moment.", retry_after=pool.RETRY_AFTER_SECONDS)


def _count(row: TupleRow) -> Count:
    kind, subject, outcome, at, locked_until = row
    return Count(GuessedAt(kind), subject, Outcome(outcome), at, locked_until)
