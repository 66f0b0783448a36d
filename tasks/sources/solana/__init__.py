"""Reads a Solana RPC service: what was asked, in which order and how often. Judges nothing of what a wallet did."""
