"""One transaction: its signers, and every balance before and after.

`tasks.sources.solana.parse` reads it from JSON, `tasks.measures.trades` derives trades from it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TokenBalance:
    """The balance of one token account before or after a transaction.

    `account_index` is an index in `Transaction.keys`; `amount` is in base units of the mint; `owner` is None in very
    old transactions.
    """

    account_index: int
    mint: str
    owner: str | None
    amount: int
    decimals: int


@dataclass(frozen=True, slots=True)
class Transaction:
    """One confirmed transaction.

    `pre` and `post` are lamports, as long as `keys` and in the same order. An opened token account is only in
    `post_tokens`, a closed one only in `pre_tokens`. `block_at` is in Unix seconds, `fee` in lamports.
    `transaction_index` orders the transactions of one slot, and is None where the node does not give it.
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
