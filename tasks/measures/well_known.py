"""Well-known Solana addresses by name: mints that count as money, mints excluded by default, programs and sysvars.

Section 2 of docs/measures.md, "Excluded mints".
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

WSOL = "So11111111111111111111111111111111111111112"
USDC = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
USDT = "Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB"
PYUSD = "2b1kV6DkPAnxd5ixfnxCpjxmKwqjjaYmCZfHsFu24GXo"
USDS = "USDSwr9ApdHk5bvJKMjzff41FfuX8bSxdKcR81vTwcA"
MSOL = "mSoLzYCxHdYgdzU16g5QSh3i5K3z3KZK7ytfqcJm7So"
JITOSOL = "J1toso1uCk3RLmjorhTtrVwY9HJ7X8V9yYac6Y7kGCPn"
BSOL = "bSo13r4TkiE4KumL71LsHTPpL2euBYLFx6h9HP3piy1"
STSOL = "7dHbWXmci3dT8UFYWYZweBLXgycu7Y3iL6trKn1Y7ARj"
JUPSOL = "jupSoLaHXQiZZTSfEWMTRRgpnyFm8f6sZdosWBjx93v"
INF = "5oVNBeEEQvYi1cX3ir8Dx5n1P7pdxydbGF2X4TxVusJm"

DEFAULT_EXCLUDED: Mapping[str, str] = MappingProxyType(
    {
        WSOL: "wSOL",
        USDC: "USDC",
        USDT: "USDT",
        PYUSD: "PYUSD",
        USDS: "USDS",
        MSOL: "mSOL",
        JITOSOL: "JitoSOL",
        BSOL: "bSOL",
        STSOL: "stSOL",
        JUPSOL: "jupSOL",
        INF: "INF",
    }
)
"""Mint → symbol: money and its staked forms, which everyone trades, so that they say nothing about similarity."""

SYSTEM_PROGRAM = "11111111111111111111111111111111"
TOKEN_PROGRAM = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"
TOKEN_2022_PROGRAM = "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb"

PROGRAMS: Mapping[str, str] = MappingProxyType(
    {
        SYSTEM_PROGRAM: "System program",
        TOKEN_PROGRAM: "Token program",
        TOKEN_2022_PROGRAM: "Token-2022 program",
        "ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL": "Associated token program",
        "ComputeBudget111111111111111111111111111111": "Compute budget program",
        "AddressLookupTab1e1111111111111111111111111": "Address lookup table program",
        "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr": "Memo program",
        "Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo": "Memo program v1",
        "Stake11111111111111111111111111111111111111": "Stake program",
        "Vote111111111111111111111111111111111111111": "Vote program",
        "Config1111111111111111111111111111111111111": "Config program",
        "BPFLoaderUpgradeab1e11111111111111111111111": "Upgradeable loader",
        "BPFLoader2111111111111111111111111111111111": "Loader v2",
        "NativeLoader1111111111111111111111111111111": "Native loader",
        "Ed25519SigVerify111111111111111111111111111": "Ed25519 program",
        "KeccakSecp256k11111111111111111111111111111": "Secp256k1 program",
        "metaqbxxUerdq28cj1RbAWkYQm3ybzjb6a8bt518x1s": "Metaplex token metadata",
        "JUP6LkbZbjS1jKKwapdHNy74zcZ3tLUZoi5QNyVTaV4": "Jupiter v6",
        "DCA265Vj8a9CEuX1eb1LWRnDT7uK6q1xMipnNyatn23M": "Jupiter DCA",
        "675kPX9MHTjS2zt1qfr1NYHuzeLXfQM9H24wFSUt1Mp8": "Raydium AMM v4",
        "CAMMCzo5YL8w4VFF8KVHrK22GGUsp5VTaW7grrKgrWqK": "Raydium CLMM",
        "CPMMoo8L3F4NbTegBCKVNunggL7H1ZpdTHKxQB5qKP1C": "Raydium CPMM",
        "whirLbMiicVdio4qvUfM5KAg6Ct8VwpYzGff3uctyCc": "Orca Whirlpool",
        "9W959DqEETiGZocYWCQPaJ6sBmUzgfxXfqGeTEdp3aQP": "Orca swap v2",
        "6EF8rrecthR5Dkzon8Nwu78hRvfCKubJ14M5uBEwF6P": "pump.fun",
        "pAMMBay6oceH9fJKBRHGP5D4bD4sWpmSwMn52FMfXEA": "PumpSwap",
        "LBUZKhRxPF3XUpBCjp4YzTKgLccjZhTSDM9YuVaPwxo": "Meteora DLMM",
        "Eo7WjKq67rjJQSZxS6z3YkapzY3eMj6Xy8X5EQVn5UaB": "Meteora pools",
        "cpamdpZCGKUy5JxQXB4dcpGPiikHawvSWAd6mEn1sGG": "Meteora DAMM v2",
        "SysvarC1ock11111111111111111111111111111111": "Clock sysvar",
        "SysvarRent111111111111111111111111111111111": "Rent sysvar",
        "Sysvar1nstructions1111111111111111111111111": "Instructions sysvar",
        "SysvarRecentB1ockHashes11111111111111111111": "Recent blockhashes sysvar",
        "SysvarS1otHashes111111111111111111111111111": "Slot hashes sysvar",
        "SysvarStakeHistory1111111111111111111111111": "Stake history sysvar",
        "SysvarEpochSchedu1e111111111111111111111111": "Epoch schedule sysvar",
    }
)
"""Address → name of programs and sysvars, which the preview rejects as wallets."""
