"""The enrichment queue: names and prices of tokens."""
