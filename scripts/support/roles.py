"""One database and one login role per service, and no way from one into another's.

Passwords travel as SCRAM verifiers only, so that neither a statement nor PostgreSQL's log ever holds one.
Everything here may be done again at any time.
"""

import base64
import hashlib
import hmac
import os
from collections.abc import Mapping
from typing import LiteralString

import psycopg
from psycopg import sql

from shared.config import Secret

SCRAM_ITERATIONS = 4096  # PostgreSQL's own default
MOST_CONNECTIONS = 50  # of the 97 that PostgreSQL has by default, for one role: five instances of a service


def scram_verifier(password: Secret, salt: bytes | None = None) -> str:
    """What PostgreSQL stores for an ASCII password (RFC 5802 section 3, RFC 7677)."""
    salt = salt or os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.value.encode("ascii"), salt, SCRAM_ITERATIONS)
    stored_key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    return f"SCRAM-SHA-256${SCRAM_ITERATIONS}:{_base64(salt)}${_base64(stored_key)}:{_base64(server_key)}"


def create_service_databases(connection: psycopg.Connection, passwords: Mapping[str, Secret]) -> None:
    """For every service in `passwords`: a role with that password, and a database that only it may enter.

    `connection` is a superuser's, in autocommit mode. `postgres` and `template1` are closed as well: by
    default every role may connect to those.
    """
    for service, password in passwords.items():
        _create_role(connection, service, password)
        _create_database(connection, service)
    for database in ("postgres", "template1"):
        _close(connection, database)


def _create_role(connection: psycopg.Connection, name: str, password: Secret) -> None:
    if not _exists(connection, "SELECT FROM pg_roles WHERE rolname = %s", name):
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(name)))
    statement = sql.SQL("ALTER ROLE {} CONNECTION LIMIT {} PASSWORD {}")
    verifier = scram_verifier(password)
    values = (sql.Identifier(name), sql.Literal(MOST_CONNECTIONS), sql.Literal(verifier))
    connection.execute(statement.format(*values))


def _create_database(connection: psycopg.Connection, name: str) -> None:
    if not _exists(connection, "SELECT FROM pg_database WHERE datname = %s", name):
        connection.execute(sql.SQL("CREATE DATABASE {0} OWNER {0}").format(sql.Identifier(name)))
    _close(connection, name)


def _close(connection: psycopg.Connection, database: str) -> None:
    statement = sql.SQL("REVOKE CONNECT, TEMPORARY ON DATABASE {} FROM PUBLIC")
    connection.execute(statement.format(sql.Identifier(database)))


def _exists(connection: psycopg.Connection, query: LiteralString, name: str) -> bool:
    return connection.execute(query, (name,)).fetchone() is not None


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")
