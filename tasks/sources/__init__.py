"""Reads outside services (Solana RPC, DexScreener, Jupiter) and turns their answers into plain data.

It knows no database and no jobs: what fails is raised as a `SourceError` that says whether to try again and when.
"""
