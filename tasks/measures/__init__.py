"""The pure mathematics of Walletkin: from the balances of a transaction to trades, weights and similarity.

No database, network, setting or clock, and no import of another package: functions get all input as arguments, and the
same input gives the same output. `docs/measures.md` defines every number.
"""
