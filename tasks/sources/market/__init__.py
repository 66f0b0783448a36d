"""Market sources: names and prices of tokens."""
