"""Sightings: which wallet has traded or held which mint, and the count of them in the registry.

Reads what a sync stored and asks nobody; the mints themselves are registered by `tokens.py`.
"""

from __future__ import annotations

import json

from peewee import chunked

from tasks.storage import database, sql
from tasks.storage.models.tokens import Token, WalletMint
from tasks.storage.models.wallets import Movement, Wallet
from tasks.storage.wallets import SIDES

CHUNK = 500
TRADES = (SIDES.index("buy"), SIDES.index("sell"))


def record_mints(wallet_id: int) -> int:
    """Note the mints that a wallet traded or holds and count it with each that is new; return how many were new.

    Repeating it changes nothing. Call it as the last thing of the write transaction that ends a sync: on PostgreSQL
    that holds rows of jobs, analyses and the wallet by now, and everybody takes tokens after those, by id.
    """
    # The wallet first: whoever else notes for it waits here, and then sees what was noted.
    holdings = sql.for_update(Wallet.select(Wallet.holdings).where(Wallet.id == wallet_id)).scalar()
    new = sorted((_traded(wallet_id) | _held(holdings)) - _noted(wallet_id))
    sql.insert_rows(WalletMint, (WalletMint.wallet_id, WalletMint.mint_id), ((wallet_id, mint_id) for mint_id in new))
    for part in chunked(new, CHUNK):
        if not database.is_sqlite():  # whose write transaction holds everything
            list(sql.for_update(Token.select(Token.id).where(Token.id.in_(part)).order_by(Token.id)).tuples())
        Token.update(wallets_seen=Token.wallets_seen + 1).where(Token.id.in_(part)).execute()
    return len(new)


def _traded(wallet_id: int) -> set[int]:
    query = Movement.select(Movement.mint_id).where(Movement.wallet_id == wallet_id, Movement.side.in_(TRADES))
    return {mint_id for (mint_id,) in query.distinct().tuples()}


def _held(holdings: str | None) -> set[int]:
    return {int(mint_id) for mint_id, amount in json.loads(holdings or "{}").items() if int(amount) > 0}


def _noted(wallet_id: int) -> set[int]:
    query = WalletMint.select(WalletMint.mint_id).where(WalletMint.wallet_id == wallet_id)
    return {mint_id for (mint_id,) in query.tuples()}
