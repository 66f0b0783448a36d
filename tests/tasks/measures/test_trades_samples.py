"""What the recorded transactions mean by section 1 of measures.md, worked out by hand from their balances."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest

from tasks.errors import SourceError
from tasks.measures.trades import derive
from tasks.measures.transaction import Transaction
from tasks.sources.solana.parse import parse_transaction

Row = tuple[str, str, int, str | None, int | None, bool]
"""Side, mint, amount, quote, quote_amount, approximate."""

TRADES: dict[str, dict[str, list[Row]]] = {
    # All-in: pool, commission and tip; no account is new but the wallet's own.
    "OKXDEX_commissionSolSwap2": {
        "AG27WXxPym3K73JFKtpRxwbMfnRnuPu5bn6juzcvq5rp": [
            ("buy", "28ECNMKBj66GMBJxq1c3VyzJiKY5gDp2sEYc92Ybpump", 5238716646, "SOL", 64174554, False)
        ]
    },
    # 250 USDC; the SOL that left is fee and the deposit of the wallet's own new account.
    "OKXDEX_commissionSplProxySwap": {
        "GKj54MVFppoYsxPU9jMn7CMniVRAuveFadyTtFhn1vXy": [
            ("buy", "DKu9kykSfbN5LBfFXtNNDPaX35o4Fv6vJ9FKk7pZpump", 6373264828, "USDC", 250000000, False)
        ]
    },
    # Token for token through two SOL pools: key 11 loses and key 17 gains 15,742 lamports, both over 10,000.
    "OKXDEX_swap_0": {
        "E8oVrS4Pk74ouemj4t6grJ6w5Ah7SFLYa8VoRtvtWpnw": [
            ("sell", "7atgF8KQo4wJrD5ATGX7t1V2zVvykPJbFfNeVf1icFv1", 358800, "SOL", 15742, False),
            ("buy", "ED5nyyWEzpPPiWimP8vYm7sD7TD3LAt3Q3gRTWHzPJBY", 74619, "SOL", 15742, False),
        ]
    },
    "OKXDEX_swap_1": {
        "EfbbhahGNuhqEraRZXrwETfsaKxScngEttdQixWAW4WE": [
            ("buy", "KMnDBXcPXoz6oMJW5XG4tXdwSWpmWEP2RQM1Uujpump", 998528432013, "SOL", 10000000000, False)
        ]
    },
    # Sent to a wallet whose account had to be opened; the receiver did not sign.
    "address-1_transaction-2": {
        "DtMUkCoeyzs35B6EpQQxPyyog6TRwXxV1W1Acp8nWBNa": [
            ("out", "Gh9ZwEmdLJ8DscKNTkTqPbNwLNNBjuSzaG9Vp2KGtKJr", 500000, None, None, False)
        ],
        "BLw3RweJmfbTapJRgnPRvd962YDjFYAnVGd1p5hmZ5tP": [
            ("in", "Gh9ZwEmdLJ8DscKNTkTqPbNwLNNBjuSzaG9Vp2KGtKJr", 500000, None, None, False)
        ],
    },
    "failed-swap": {"8A4AptCThfbuknsbteHgGKXczfJpfjuVA9SLTSGaaLGC": []},
    # A sponsor pays the fee and signs first; the wallet signs too and pays 89.0483 USDC.
    "fomo_buy_v1_jsonParsed_trimmed": {
        "AGdtsMmphhymH5wYW3dWKSkAxpLYRrNDCTFAfuq8ii9v": [
            ("buy", "DEW9dSN6QpWyNthphCpMmAbZP1Q4cEKR9xQXAri98WDP", 3565627357, "USDC", 89048300, False)
        ]
    },
    "jupiterAggregatorV6_Route_1": {
        "3huskHPRJXT5pL6RW57HaA8pXRFojx6gfNVGL9cJ2vtB": [
            ("buy", "3p7eCgdQx1RiJUfr4t7Z8w6DpVbP7CMa9Z6Ff69tpump", 3861519639304, "SOL", 400000000, False)
        ]
    },
    # The route passes through a third token, which never was the wallet's.
    "jupiterAggregatorV6_sharedAccountsRoute_2": {
        "GKj54MVFppoYsxPU9jMn7CMniVRAuveFadyTtFhn1vXy": [
            ("sell", "CMjfdovtzmgRsnhE1cCzdwDFGKt1UzZB4oCGQchQpump", 634862142081, "USDC", 47461249, False)
        ]
    },
    # The escrow gives back token and rent: both up, no purchase.
    "jupiterDca_CloseDca_0": {
        "3k2pJD3FtFT8zZLoYRgHEQgays1jYs6LYCKi5MWNPLKJ": [
            ("in", "6T44rfi9BDUdZbEvVddZWVfsGrpC6N1sSSKYnCsLpump", 225000000000, None, None, False)
        ]
    },
    # Token and rent go into the escrow: both down, no sale.
    "jupiterDca_openDcaV2_0": {
        "BxDjGoj9y33tmkKMK5dRHeUGkSGWEs4H51uHoQaBv9Wz": [
            ("out", "ED5nyyWEzpPPiWimP8vYm7sD7TD3LAt3Q3gRTWHzPJBY", 217363000000, None, None, False)
        ]
    },
    "native-sol-transfer": {"BLw3RweJmfbTapJRgnPRvd962YDjFYAnVGd1p5hmZ5tP": []},
    "photon_pumpfun_buy_0": {
        "DfMxre4cKmvogbLrPigxmibVTTQDuzjdXojWzjCXXhzj": [
            ("buy", "HQ4SzFMwYo8TXds1bHD2TvZdL7S75hK8w775rWrVpump", 5609742876530, "SOL", 459999999, False)
        ]
    },
    # 3 SOL for the curve and its fee, 0.07 in tips: all-in 3.07.
    "pumpfun_buy_0": {
        "EfbbhahGNuhqEraRZXrwETfsaKxScngEttdQixWAW4WE": [
            ("buy", "D66sbPtYqLnwPYcUqjDktrQtb52CnfF77C3sdpNpR8Si", 56716561396327, "SOL", 3070000000, False)
        ]
    },
    # Four wallets sign. The first pays the fee: 392,020,508 − fee 20,000 − own deposit 2,039,280 = 389,961,228, and
    # the three other new accounts (keys 8, 9, 10) are taken off as rent for others: − 3 × 2,039,280 = 383,843,388.
    # The others: what left each less its own deposit, 392,728,255, 399,771,498 and 410,315,709 less 2,039,280.
    "pumpfun_buy_bundle": {
        "Gh6D6DZcASQLc2XoLpctT74KbRr4nrHF8wNptweckHoA": [
            ("buy", "ED5nyyWEzpPPiWimP8vYm7sD7TD3LAt3Q3gRTWHzPJBY", 12373970345963, "SOL", 383843388, False)
        ],
        "7SPkz": [("buy", "ED5nyyWEzpPPiWimP8vYm7sD7TD3LAt3Q3gRTWHzPJBY", 12100159018198, "SOL", 390688975, False)],
        "GdCFP": [("buy", "ED5nyyWEzpPPiWimP8vYm7sD7TD3LAt3Q3gRTWHzPJBY", 12023935360031, "SOL", 397732218, False)],
        "8rL9d": [("buy", "ED5nyyWEzpPPiWimP8vYm7sD7TD3LAt3Q3gRTWHzPJBY", 12044860698416, "SOL", 408276429, False)],
    },
    "raydiumLiquidityPoolV4_swap_0": {
        "Do3UdALe5F7NRXB4uYcBzZtCbAt8ssu4a5kGZVucKhC5": [
            ("sell", "2CrtdajpSb7DpMRLKP4yMtFLbCsWZjMkEvgSTf4Ypump", 836112233953, "SOL", 348783354, False)
        ]
    },
    "send-spl-token-and-create-token-account": {
        "EMmTjuHsYCYX7vgPcQ2QVbNwYAwcvGoSMCEaHKc19DdE": [
            ("out", "HeLp6NuQkmYB4pYWo2zYs22mESHXPQYzXbB8n4V98jwC", 10000000, None, None, False)
        ]
    },
    "spam": {"5Hr7wZg7oBpVhH5nngRqzr5W7ZFUfCsfEhbziZJak7fr": []},
    # A small real sale: + 5,826 + fee 22,342 = 28,168 lamports; the USDT in the middle is the pools'.
    "swap-a16z-usdt-sol": {
        "FQT9SSwEZ6UUQxsmTzgt5JzjrS4M5zm13M1QiYF8TEo6": [
            ("sell", "HeLp6NuQkmYB4pYWo2zYs22mESHXPQYzXbB8n4V98jwC", 21898077, "SOL", 28168, False)
        ]
    },
    # Dollars against less than 0.01 SOL: neither a trade nor an observation.
    "swap-sol-to-obric": {"3xTPAZxmpwd8GrNEKApaTw6VH4jqJ31WFXUvQzgwhR7c": []},
    "swap-sol-to-usdc": {"3xTPAZxmpwd8GrNEKApaTw6VH4jqJ31WFXUvQzgwhR7c": []},
    # One cent of USDC; the 8 lamports are noise beside it.
    "swap-usdc-to-cobie": {
        "DtMUkCoeyzs35B6EpQQxPyyog6TRwXxV1W1Acp8nWBNa": [
            ("buy", "HaMv3cdfDW6357yjpDur6kb6w52BUPJrMJpR76tjpump", 2583728601, "USDC", 10000, False)
        ]
    },
    # 3,000 tokens to each of five wallets, and five deposits for their accounts.
    "token_transfer_0": {
        "EohzXCJJxTUbHDQvawQvFAUUnCDu6TkaMhpLL6Armm5t": [
            ("out", "HbDHSRNnamGivWjtbYYaPJjs1o3kmwq3bXVhWsLypump", 15000000000, None, None, False)
        ],
        "4Be9C": [("in", "HbDHSRNnamGivWjtbYYaPJjs1o3kmwq3bXVhWsLypump", 3000000000, None, None, False)],
    },
}
DAMAGED = {"broken_data_1"}
BOTH = ["OKXDEX_swap_0", "failed-swap", "pumpfun_buy_0", "swap-sol-to-usdc", "token_transfer_0"]


def _raw(path: pathlib.Path) -> Any:
    content = json.loads(path.read_text())
    content = content[0] if isinstance(content, list) else content
    return content.get("result", content)


def _rows(transaction: Transaction, wallet: str) -> list[Row]:
    """Derive the trades of the wallet whose address starts so."""
    owners = {balance.owner for balance in transaction.pre_tokens + transaction.post_tokens if balance.owner}
    (address,) = {key for key in {*transaction.keys, *owners} if key.startswith(wallet)}
    return [
        (m.side, m.mint, m.amount, m.quote, m.quote_amount, m.approximate)
        for m in derive(transaction, address).movements
    ]


@pytest.mark.parametrize("name", TRADES)
def test_a_recorded_transaction_gives_the_trades_worked_out_by_hand(samples: pathlib.Path, name: str) -> None:
    transaction = parse_transaction(_raw(samples / "transactions" / f"{name}.json"))
    for wallet, rows in TRADES[name].items():
        assert _rows(transaction, wallet) == rows
        assert derive(transaction, wallet).observation is None


@pytest.mark.parametrize("name", BOTH)
def test_both_encodings_give_the_same_transaction_and_trades(samples: pathlib.Path, name: str) -> None:
    plain, parsed = (
        parse_transaction(_raw(samples / folder / f"{name}.json"))
        for folder in ("transactions", "transactions_jsonParsed")
    )
    assert parsed == plain
    for wallet, rows in TRADES[name].items():
        assert _rows(parsed, wallet) == rows


def test_every_recorded_file_is_in_the_tables(samples: pathlib.Path) -> None:
    assert {path.stem for path in (samples / "transactions").glob("*.json")} == TRADES.keys() | DAMAGED
    assert sorted(path.stem for path in (samples / "transactions_jsonParsed").glob("*.json")) == sorted(BOTH)


@pytest.mark.parametrize("name", sorted(DAMAGED))
def test_damaged_data_is_refused_for_good(samples: pathlib.Path, name: str) -> None:
    with pytest.raises(SourceError, match="unreadable") as refused:
        parse_transaction(_raw(samples / "transactions" / f"{name}.json"))
    assert refused.value.permanent


def test_the_independent_script_found_the_same_token_changes(samples: pathlib.Path) -> None:
    expected = json.loads((samples / "expected_changes.json").read_text())
    for file, change in expected.items():
        transaction = parse_transaction(_raw(samples / file))
        moved = {row[1]: row[2] if row[0] in ("buy", "in") else -row[2] for row in _rows(transaction, change["owner"])}
        dollars = ("EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v", "Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB")
        assert moved == {mint: delta for mint, delta in change["token_deltas"].items() if mint not in dollars}
