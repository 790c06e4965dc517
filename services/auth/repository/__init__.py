"""Rows ↔ domain, in PostgreSQL: one file for each thing that is kept.

statements     running one statement, within the unit of work or by itself
accounts, passwords, second_factors, sessions, revocations, keys, clients,
inspection, guesses, audit

Rows are always locked in the same order, a user before its sessions, and the time of a decision is read after
its locks were granted. So whoever revokes something at a time T has waited for every token that was being
made, and every token made afterwards is later than T.
"""
