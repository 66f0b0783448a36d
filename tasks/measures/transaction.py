"""One transaction as the mathematics sees it: who signed, and every balance before and after.

It does not say how a transaction looks on the wire (`tasks.sources.solana.parse`) nor what it means for a wallet
(`tasks.measures.trades`).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TokenBalance:
    """What one token account held at one side (before or after) of a transaction.

    `account_index` points into `Transaction.keys`; `amount` is in base units of the mint; `owner` is None where the
    ledger does not tell it (very old entries).
    """

    account_index: int
    mint: str
    owner: str | None
    amount: int
    decimals: int


@dataclass(frozen=True, slots=True)
class Transaction:
    """One confirmed transaction.

    `pre` and `post` are lamports, as long as `keys` and in the same order. A token account that was opened is only
    in `post_tokens`, one that was closed only in `pre_tokens`. `block_at` is in Unix seconds, `fee` in lamports.
    `transaction_index` orders the transactions of one slot and is None where the node does not tell it.
    """

    signature: str
    slot: int
    transaction_index: int | None
    block_at: int
    failed: bool
    fee: int
    keys: tuple[str, ...]
    signers: frozenset[str]
    pre: tuple[int, ...]
    post: tuple[int, ...]
    pre_tokens: tuple[TokenBalance, ...]
    post_tokens: tuple[TokenBalance, ...]

    @property
    def fee_payer(self) -> str:
        """The account that paid the fee: always the first key, and not always the wallet that traded."""
        return self.keys[0]
