"""The pure mathematics of Walletkin: from the balances of a transaction to trades, weights and likeness.

Nothing here reads a database, a network, a setting or a clock, and nothing here imports another room: what a
function needs is handed to it, and the same input gives the same output. `measures.md` says what every number means.
"""
