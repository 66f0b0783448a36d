"""Clients of outside services (Solana RPC, DexScreener, Jupiter), which turn answers into plain data.

Knows no database and no jobs. A failure is a `SourceError` that says whether and when to retry.
"""
