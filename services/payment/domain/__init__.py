"""What holds of users' money, whoever keeps it. Pure: no I/O, no clock, no randomness.

payments  wallets, what is paid out of them, and what can happen to both
ledger    which accounts money moves between, how that is checked, and what the use cases need kept
"""
