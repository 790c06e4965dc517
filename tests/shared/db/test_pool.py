"""The pool when its server is away for longer than anybody waits."""

import asyncio

import psycopg
import pytest
from psycopg_pool import TooManyRequests

from shared.config import Secret
from shared.db import pool as pool_module
from shared.db.pool import ConnectionPool
from tests.shared.db.own_postgres import OwnPostgres
from tests.waiting import eventually

DEADLINE_SECONDS = 20.0


async def _failure(pool: ConnectionPool) -> psycopg.OperationalError | None:
    try:
        async with pool.connection() as connection:
            await connection.execute("SELECT 1")
    except psycopg.OperationalError as failure:
        return failure
    return None


async def test_a_queue_full_of_those_who_gave_up_keeps_nobody_from_connecting(
    url: Secret, own_postgres: OwnPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "MAX_WAITING", 3)
    monkeypatch.setattr(pool_module, "CHECKOUT_SECONDS", 0.1)
    async with ConnectionPool(url, 2) as pool:
        await eventually(lambda: _works(pool), DEADLINE_SECONDS)
        own_postgres.kill()
        try:
            await eventually(lambda: _is_full(pool), DEADLINE_SECONDS)
            await eventually(lambda: pool._pool.get_stats()["pool_size"] == 0, DEADLINE_SECONDS)
        finally:
            await asyncio.to_thread(own_postgres.start)
        await eventually(lambda: _works(pool), DEADLINE_SECONDS)


async def _works(pool: ConnectionPool) -> bool:
    return await _failure(pool) is None


async def _is_full(pool: ConnectionPool) -> bool:
    return isinstance(await _failure(pool), TooManyRequests)
