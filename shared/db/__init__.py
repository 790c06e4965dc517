"""PostgreSQL: what a service needs to own a database.

pool        bounded connections, replaced when the server has hung up
database    transactions that inner calls join; usable, or honestly unavailable
migrations  numbered SQL files, applied once each
"""
