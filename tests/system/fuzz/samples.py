"""Valid inputs, small ones, for the mutations to begin with."""

from __future__ import annotations

from typing import Any

from tests.system.fuzz.strategies import SIGNATURE, A, B, C

MINT, WSOL = C, "So11111111111111111111111111111111111111112"
USDC = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"

WALLETS: list[Any] = [
    {"wallets": [{"address": A, "label": "desk"}, {"address": B}, C]},
    [A, B, {"address": A, "label": None}],
]


def _balance(index: int, amount: str) -> dict[str, Any]:
    told = {"amount": amount, "decimals": 6, "uiAmount": None, "uiAmountString": "0"}
    return {"accountIndex": index, "mint": MINT, "owner": A, "uiTokenAmount": told}


def _transaction(*, parsed: bool) -> dict[str, Any]:
    meta: dict[str, Any] = {
        "err": None,
        "fee": 5000,
        "preBalances": [9, 8],
        "postBalances": [8, 8],
        "preTokenBalances": [_balance(1, "5")],
        "postTokenBalances": [_balance(1, "18446744073709551615")],
    }
    message: dict[str, Any] = {"instructions": []}
    if parsed:
        message["accountKeys"] = [{"pubkey": A, "signer": True}, {"pubkey": B, "signer": False}]
    else:
        message |= {"accountKeys": [A], "header": {"numRequiredSignatures": 1}}
        meta["loadedAddresses"] = {"writable": [B], "readonly": []}
    inner = {"signatures": [SIGNATURE], "message": message}
    return {"slot": 3, "blockTime": 100, "version": 0, "transactionIndex": 7, "meta": meta, "transaction": inner}


def _answered(value: Any, number: int = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "result": value}


_LISTED = {"signature": SIGNATURE, "slot": 7, "transactionIndex": 3, "blockTime": 1_790_000_000, "err": None}
_INFO = {"mint": MINT, "owner": A, "tokenAmount": {"amount": "12", "decimals": 6}}
_HELD = {"pubkey": B, "account": {"data": {"program": "spl-token", "parsed": {"info": _INFO}}}}
_ERROR = {"code": -32429, "message": "rate limit of 5ecret-key-0123456789 exceeded", "data": {"x": 1}}

NODE: list[Any] = [
    _answered(_transaction(parsed=False)),
    _answered(_transaction(parsed=True)),
    [_answered(_transaction(parsed=True), 1), _answered(_transaction(parsed=False), 2), {"id": 3, "error": _ERROR}],
    _answered([_LISTED, {**_LISTED, "slot": 6, "err": {"InstructionError": [0, "Custom"]}}]),
    _answered({"context": {"slot": 1}, "value": [_HELD, _HELD]}),
    _answered({"context": {"slot": 1}, "value": 42}),
    {"jsonrpc": "2.0", "id": 1, "error": _ERROR},
]


def _pair(base: str, quote: str) -> dict[str, Any]:
    return {
        "chainId": "solana",
        "baseToken": {"address": base, "name": "Token", "symbol": "TOK"},
        "quoteToken": {"address": quote, "name": "Wrapped SOL", "symbol": "SOL"},
        "priceUsd": "1.25",
        "priceNative": "0.008",
        "liquidity": {"usd": 50_000.5},
        "volume": {"h24": 1234.5},
        "marketCap": 1e6,
        "info": {"imageUrl": "https://cdn.dexscreener.com/x.png"},
    }


DEXSCREENER: list[Any] = [[_pair(MINT, WSOL), _pair(WSOL, USDC)], [_pair(WSOL, USDC)]]
JUPITER: list[Any] = [
    [
        {
            "id": MINT,
            "name": "Token",
            "symbol": "TOK",
            "decimals": 6,
            "icon": "https://x.example/i.png",
            "usdPrice": 1.25,
            "liquidity": 5e4,
            "mcap": 1e6,
            "stats24h": {"buyVolume": 1.0, "sellVolume": 2.0},
        }
    ],
    {WSOL: {"usdPrice": 150.0}},
]
