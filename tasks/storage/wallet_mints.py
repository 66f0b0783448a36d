"""Which wallet has traded or holds which mint, and the count of such wallets in the token registry."""

from __future__ import annotations

import json

from peewee import chunked

from tasks.storage import sql
from tasks.storage.models.tokens import Token, WalletMint
from tasks.storage.models.wallets import Movement, Wallet
from tasks.storage.wallets import SIDES

CHUNK = 500
TRADES = (SIDES.index("buy"), SIDES.index("sell"))


def record_mints(wallet_id: int) -> int:
    """Record the mints that a wallet traded or holds, count the wallet with each new one; return how many were new.

    Repeating it changes nothing. Call it last in the write transaction that ends a sync: rows are locked in the order
    jobs, analyses, wallet, tokens by id.
    """
    # Lock the wallet first; otherwise, on PostgreSQL, two callers would both count it.
    holdings = sql.for_update(Wallet.select(Wallet.holdings).where(Wallet.id == wallet_id)).scalar()
    new = sorted((_traded(wallet_id) | _held(holdings)) - _recorded(wallet_id))
    sql.insert_rows(WalletMint, (WalletMint.wallet_id, WalletMint.mint_id), ((wallet_id, mint_id) for mint_id in new))
    for part in chunked(new, CHUNK):
        sql.lock_rows(Token.id, part)
        Token.update(wallets_seen=Token.wallets_seen + 1).where(Token.id.in_(part)).execute()
    return len(new)


def _traded(wallet_id: int) -> set[int]:
    query = Movement.select(Movement.mint_id).where(Movement.wallet_id == wallet_id, Movement.side.in_(TRADES))
    return {mint_id for (mint_id,) in query.distinct().tuples()}


def _held(holdings: str | None) -> set[int]:
    return {int(mint_id) for mint_id, amount in json.loads(holdings or "{}").items() if int(amount) > 0}


def _recorded(wallet_id: int) -> set[int]:
    query = WalletMint.select(WalletMint.mint_id).where(WalletMint.wallet_id == wallet_id)
    return {mint_id for (mint_id,) in query.tuples()}
