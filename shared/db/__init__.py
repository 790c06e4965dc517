"""PostgreSQL: what a service needs to own a database.

pool              bounded connections, replaced when the server has hung up
database          transactions that inner calls join; usable, or honestly unavailable
statements        one statement, within the transaction that the task is in or by itself
idempotency_keys  calls that may be asked again: their answers, kept with their effect
migrations        numbered SQL files, applied once each
"""
