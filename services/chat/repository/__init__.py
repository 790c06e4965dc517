"""Rooms and messages in PostgreSQL: rows ↔ domain. What is recorded is reported, in the same transaction.

Whoever changes a room's members or says something there locks the room's row first, so a room's events are
committed in the order in which they are told.

rooms     rooms and their members
messages  what is said in them
"""
