"""Rows ↔ domain, in PostgreSQL: one file for each thing that is kept.

accounts, passwords  who there is, and the hashes of their passwords
second_factors       phones' secrets, recovery codes
guesses              failed attempts, locks, known networks
sessions             sessions and their refresh tokens
revocations          what the gateways must refuse
standings            all that is known of one token
keys, clients        what signs tokens, and who may ask about them
audit                what has happened
stored               all of these together

Rows are always locked in the same order, a user before its sessions, and the time of a decision is read after
its locks were granted. So whoever revokes something at a time T has waited for every token that was being
made, and every token made afterwards is later than T.
"""
