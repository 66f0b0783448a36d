"""A made-up Solana chain and market over HTTP, with planted groups of wallets; no part of what it imitates is real."""
