"""Hand-made transactions and movements for the tests of this folder, and a strategy for them. No test is in here."""

from __future__ import annotations

from hypothesis import strategies as st

from tasks.measures.trades import Movement
from tasks.measures.transaction import TokenBalance, Transaction

SOL = 10**9
RENT = 2_039_280
FEE = 5_000

Lamports = tuple[int, int]
Tokens = tuple[str, str, str | None, int | None, int | None]
"""Account, mint, owner, amount before (None: not open), amount after (None: closed)."""


def made(
    accounts: dict[str, Lamports],
    tokens: list[Tokens] | None = None,
    *,
    signers: tuple[str, ...] = ("w",),
    fee: int = FEE,
    failed: bool = False,
) -> Transaction:
    """Make a transaction whose first account pays the fee; lamports are (before, after)."""
    keys = tuple(accounts)
    before = [(keys.index(name), mint, owner, pre) for name, mint, owner, pre, _ in tokens or [] if pre is not None]
    after = [(keys.index(name), mint, owner, post) for name, mint, owner, _, post in tokens or [] if post is not None]
    return Transaction(
        signature="s1",
        slot=7,
        transaction_index=3,
        block_at=1_700_000_000,
        failed=failed,
        fee=fee,
        keys=keys,
        signers=frozenset(signers),
        pre=tuple(pre for pre, _ in accounts.values()),
        post=tuple(post for _, post in accounts.values()),
        pre_tokens=tuple(TokenBalance(*entry, 6) for entry in before),
        post_tokens=tuple(TokenBalance(*entry, 6) for entry in after),
    )


def told(movements: tuple[Movement, ...]) -> list[tuple[object, ...]]:
    """Give the part of movements that the tests compare."""
    return [(m.side, m.mint, m.amount, m.quote, m.quote_amount, m.parts, m.approximate) for m in movements]


def trade(mint: str = "m", side: str = "buy", **changed: object) -> Movement:
    """Make one movement, 1 SOL unless told otherwise."""
    plain: dict[str, object] = {
        "signature": "s1",
        "slot": 7,
        "transaction_index": 3,
        "block_at": 1_700_000_000,
        "side": side,
        "mint": mint,
        "amount": 1_000,
        "decimals": 6,
        "quote": "SOL",
        "quote_amount": SOL,
        "parts": 1,
        "approximate": False,
    }
    if side in ("in", "out"):
        plain |= {"quote": None, "quote_amount": None}
    return Movement(**(plain | changed))  # type: ignore[arg-type]


@st.composite
def _movements(draw: st.DrawFn) -> Movement:
    """Draw one movement of a few mints within nine days, in any quote or unpriced."""
    quote = draw(st.sampled_from(["SOL", "USDC", "USDT", None]))
    amounts = {} if quote == "SOL" else {"quote": quote}
    return trade(
        draw(st.sampled_from("abcdx")),
        draw(st.sampled_from(["buy", "sell"])),
        block_at=draw(st.integers(0, 9 * 86_400)),
        amount=draw(st.integers(1, 10**15)),
        parts=draw(st.integers(1, 3)),
        quote_amount=None if quote is None else draw(st.integers(1, 10**14)),
        **amounts,
    )


TRANSFERS = st.builds(trade, st.sampled_from("abcdx"), st.sampled_from(["in", "out"]))
MOVEMENTS = st.lists(_movements() | TRANSFERS, max_size=12)
