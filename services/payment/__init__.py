"""Users' money: wallets, what is paid out of them, and the double-entry ledger that says where it all is."""
