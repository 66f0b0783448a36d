"""The made-up world: wallets, tokens, plans and their execution."""
