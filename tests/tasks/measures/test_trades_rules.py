"""Each rule of section 1 of measures.md on a hand-made transaction."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.measures.trades import Derived, derive
from tasks.measures.transaction import TokenBalance, Transaction
from tasks.measures.well_known import USDC, USDT, WSOL
from tests.tasks.measures.ledger import FEE, RENT, SOL, made, told

NOTHING = Derived((), None)


def test_a_failed_transaction_derives_nothing() -> None:
    failed = made({"w": (SOL, 0), "a": (RENT, RENT)}, [("a", "m", "w", 0, 9)], failed=True)
    assert derive(failed, "w") == NOTHING


def test_a_wallet_that_took_no_part_derives_nothing() -> None:
    assert derive(made({"w": (SOL, 0), "a": (RENT, RENT)}, [("a", "m", "w", 0, 9)]), "stranger") == NOTHING


def test_a_buy_with_sol_is_worth_what_left_without_fee_and_own_rent() -> None:
    # 0.5 SOL went to the pool; the deposit of the wallet's new token account stays its own.
    bought = made(
        {"w": (SOL, SOL // 2 - RENT - FEE), "a": (0, RENT), "pool": (9 * SOL, 9 * SOL + SOL // 2)},
        [("a", "m", "w", None, 70)],
    )
    assert told(derive(bought, "w").movements) == [("buy", "m", 70, "SOL", SOL // 2, 1, False)]


def test_a_movement_carries_where_and_when_it_happened() -> None:
    (movement,) = derive(made({"w": (SOL, 0), "a": (RENT, RENT)}, [("a", "m", "w", 0, 9)]), "w").movements
    place = (movement.signature, movement.slot, movement.transaction_index, movement.block_at, movement.decimals)
    assert place == ("s1", 7, 3, 1_700_000_000, 6)


def test_selling_everything_and_closing_the_account_does_not_count_the_deposit() -> None:
    sold = made({"w": (SOL, SOL + 300_000 + RENT - FEE), "a": (RENT, 0)}, [("a", "m", "w", 70, None)])
    assert told(derive(sold, "w").movements) == [("sell", "m", 70, "SOL", 300_000, 1, False)]


def test_several_accounts_of_one_mint_are_summed() -> None:
    bought = made(
        {"w": (SOL, SOL // 2 - FEE), "a": (RENT, RENT), "b": (RENT, RENT)},
        [("a", "m", "w", 10, 0), ("b", "m", "w", 5, 40)],
    )
    assert told(derive(bought, "w").movements) == [("buy", "m", 25, "SOL", SOL // 2, 1, False)]


def test_tokens_moved_between_own_accounts_are_no_movement() -> None:
    moved = made({"w": (SOL, SOL - FEE), "a": (RENT, RENT), "b": (RENT, RENT)}, [("a", "m", "w", 10, 0)])
    back = TokenBalance(2, "m", "w", 10, 6)
    both = Transaction(**{name: getattr(moved, name) for name in moved.__slots__} | {"post_tokens": (back,)})
    assert derive(both, "w") == NOTHING


def test_sol_from_the_wallet_and_wrapped_sol_back_are_one_asset() -> None:
    # −1 SOL natively and +0.4 SOL wrapped in an own account reads 0.6 SOL.
    bought = made(
        {"w": (2 * SOL, SOL - FEE), "wrapped": (RENT, RENT + 4 * SOL // 10), "a": (RENT, RENT)},
        [("wrapped", WSOL, "w", 0, 4 * SOL // 10), ("a", "m", "w", 0, 70)],
    )
    assert told(derive(bought, "w").movements) == [("buy", "m", 70, "SOL", 6 * SOL // 10, 1, False)]


def test_a_temporary_wrapped_account_leaves_only_its_net_effect() -> None:
    # Opened, filled with 0.3 SOL, spent and closed inside the transaction: 0 lamports before and after, no entry.
    bought = made({"w": (SOL, 7 * SOL // 10 - FEE), "temporary": (0, 0), "a": (RENT, RENT)}, [("a", "m", "w", 0, 70)])
    assert told(derive(bought, "w").movements) == [("buy", "m", 70, "SOL", 3 * SOL // 10, 1, False)]


def test_closing_an_old_wrapped_account_pays_for_nothing() -> None:
    # The wallet gains 0.5 SOL + rent natively, but only because its own wrapped account closed after paying 0.2.
    bought = made(
        {"w": (SOL, SOL + SOL // 2 + RENT - FEE), "wrapped": (RENT + 7 * SOL // 10, 0), "a": (RENT, RENT)},
        [("wrapped", WSOL, "w", 7 * SOL // 10, None), ("a", "m", "w", 0, 70)],
    )
    assert told(derive(bought, "w").movements) == [("buy", "m", 70, "SOL", 2 * SOL // 10, 1, False)]


def test_a_sponsored_fee_is_not_given_back_to_the_wallet() -> None:
    sponsored = made(
        {"sponsor": (SOL, SOL - FEE), "w": (SOL, 8 * SOL // 10), "a": (RENT, RENT)},
        [("a", "m", "w", 0, 70)],
        signers=("sponsor", "w"),
    )
    assert told(derive(sponsored, "w").movements) == [("buy", "m", 70, "SOL", 2 * SOL // 10, 1, False)]
    assert derive(sponsored, "sponsor") == NOTHING


def test_a_wallet_without_a_key_of_its_own_can_only_receive() -> None:
    airdrop = made({"giver": (SOL, SOL - FEE), "a": (RENT, RENT)}, [("a", "m", "w", 0, 70)], signers=("giver",))
    assert told(derive(airdrop, "w").movements) == [("in", "m", 70, None, None, 1, False)]


def test_what_an_unsigned_wallet_loses_is_a_transfer_even_when_sol_came() -> None:
    taken = made(
        {"keeper": (SOL, SOL - FEE), "w": (0, SOL), "a": (RENT, RENT)}, [("a", "m", "w", 70, 0)], signers=("keeper",)
    )
    assert told(derive(taken, "w").movements) == [("out", "m", 70, None, None, 1, False)]


@pytest.mark.parametrize(("spent", "side"), [(10_000, "in"), (10_001, "buy")])
def test_sol_counts_from_more_than_ten_thousand_lamports(spent: int, side: str) -> None:
    moved = made({"w": (SOL, SOL - FEE - spent), "a": (RENT, RENT)}, [("a", "m", "w", 0, 70)])
    assert [movement.side for movement in derive(moved, "w").movements] == [side]


@pytest.mark.parametrize(("received", "side"), [(10_000, "out"), (10_001, "sell")])
def test_the_same_holds_for_a_sale(received: int, side: str) -> None:
    moved = made({"w": (SOL, SOL - FEE + received), "a": (RENT, RENT)}, [("a", "m", "w", 70, 0)])
    assert [movement.side for movement in derive(moved, "w").movements] == [side]


def test_tokens_and_sol_the_same_way_are_a_transfer() -> None:
    sent = made({"w": (SOL, 0), "a": (RENT, RENT)}, [("a", "m", "w", 70, 0)])
    assert told(derive(sent, "w").movements) == [("out", "m", 70, None, None, 1, False)]


def test_dollars_of_any_size_pay_for_a_buy_and_sol_beside_them_is_cost() -> None:
    bought = made(
        {"w": (SOL, SOL - FEE - 500_000), "u": (RENT, RENT), "a": (RENT, RENT)},
        [("u", USDC, "w", 10, 9), ("a", "m", "w", 0, 70)],
    )
    assert told(derive(bought, "w").movements) == [("buy", "m", 70, "USDC", 1, 1, False)]


def test_dollars_the_same_way_leave_the_payment_to_sol() -> None:
    bought = made(
        {"w": (SOL, SOL // 2 - FEE), "u": (RENT, RENT), "a": (RENT, RENT)},
        [("u", USDC, "w", 9, 10), ("a", "m", "w", 0, 70)],
    )
    assert told(derive(bought, "w").movements) == [("buy", "m", 70, "SOL", SOL // 2, 1, False)]


@pytest.mark.parametrize(
    ("usdc", "usdt", "quote", "amount"),
    [(-30, -50, "USDT", 80), (-50, -30, "USDC", 80), (-40, -40, "USDC", 80), (20, -50, "USDT", 30)],
)
def test_both_dollars_are_summed_and_named_after_the_larger(usdc: int, usdt: int, quote: str, amount: int) -> None:
    bought = made(
        {"w": (SOL, SOL - FEE), "c": (RENT, RENT), "t": (RENT, RENT), "a": (RENT, RENT)},
        [("c", USDC, "w", 100, 100 + usdc), ("t", USDT, "w", 100, 100 + usdt), ("a", "m", "w", 0, 70)],
    )
    assert told(derive(bought, "w").movements) == [("buy", "m", 70, quote, amount, 1, False)]


def test_rent_paid_for_others_on_an_airdrop_claim_is_no_purchase() -> None:
    # The wallet pays the deposits of two claim records that are not its own token accounts.
    claim = made(
        {"w": (SOL, SOL - FEE - RENT - 890_880), "record": (0, RENT), "note": (0, 890_880), "a": (RENT, RENT)},
        [("a", "m", "w", 0, 70)],
    )
    assert told(derive(claim, "w").movements) == [("in", "m", 70, None, None, 1, False)]


@pytest.mark.parametrize(("deposit", "side"), [(10_000_000, "in"), (10_000_001, "buy")])
def test_a_deposit_over_a_hundredth_of_a_sol_is_a_payment(deposit: int, side: str) -> None:
    paid = made({"w": (SOL, SOL - FEE - deposit), "fresh": (0, deposit), "a": (RENT, RENT)}, [("a", "m", "w", 0, 70)])
    assert [movement.side for movement in derive(paid, "w").movements] == [side]


def test_a_deposit_into_an_account_that_existed_is_a_payment() -> None:
    paid = made({"w": (SOL, SOL - FEE - RENT), "old": (1, 1 + RENT), "a": (RENT, RENT)}, [("a", "m", "w", 0, 70)])
    assert told(derive(paid, "w").movements) == [("buy", "m", 70, "SOL", RENT, 1, False)]


def test_rent_for_others_is_taken_off_a_real_purchase_too() -> None:
    paid = made(
        {"w": (SOL, SOL // 2 - FEE - RENT), "record": (0, RENT), "pool": (0, SOL // 2), "a": (RENT, RENT)},
        [("a", "m", "w", 0, 70)],
    )
    assert told(derive(paid, "w").movements) == [("buy", "m", 70, "SOL", SOL // 2, 1, False)]


def test_rent_for_others_stays_in_where_somebody_else_paid_the_fee() -> None:
    paid = made(
        {"sponsor": (SOL, SOL - FEE), "w": (SOL, SOL - RENT), "record": (0, RENT), "a": (RENT, RENT)},
        [("a", "m", "w", 0, 70)],
        signers=("sponsor", "w"),
    )
    assert told(derive(paid, "w").movements) == [("buy", "m", 70, "SOL", RENT, 1, False)]


def test_several_tokens_bought_share_the_value_and_are_marked() -> None:
    bought = made(
        {"w": (SOL, SOL // 2 - FEE), "a": (RENT, RENT), "b": (RENT, RENT)},
        [("b", "n", "w", 0, 5), ("a", "m", "w", 0, 70)],
    )
    wanted = [("buy", "m", 70, "SOL", SOL // 2, 2, True), ("buy", "n", 5, "SOL", SOL // 2, 2, True)]
    assert told(derive(bought, "w").movements) == wanted


def test_several_tokens_in_one_transfer_are_not_marked() -> None:
    sent = made({"w": (SOL, SOL - FEE), "a": (1, 1), "b": (1, 1)}, [("a", "m", "w", 9, 1), ("b", "n", "w", 3, 0)])
    assert told(derive(sent, "w").movements) == [
        ("out", "m", 8, None, None, 1, False),
        ("out", "n", 3, None, None, 1, False),
    ]


def _swap(pool_a: int, pool_b: int, *, usd: tuple[int, int] = (0, 0)) -> Transaction:
    """Token m → token n, while two pools' SOL (or dollars) change by the amounts given."""
    accounts = {
        "w": (SOL, SOL - FEE),
        "a": (RENT, RENT),
        "b": (RENT, RENT),
        "pool-a": (9 * SOL, 9 * SOL + pool_a),
        "pool-b": (9 * SOL, 9 * SOL + pool_b),
        "usd-a": (RENT, RENT),
        "usd-b": (RENT, RENT),
    }
    tokens = [
        ("a", "m", "w", 70, 0),
        ("b", "n", "w", 0, 5),
        ("usd-a", USDC, "p", 10**6, 10**6 + usd[0]),
        ("usd-b", USDT, "q", 10**6, 10**6 + usd[1]),
    ]
    return made(accounts, tokens)


def _swapped(quote: str | None, amount: int | None) -> list[tuple[object, ...]]:
    return [("sell", "m", 70, quote, amount, 1, False), ("buy", "n", 5, quote, amount, 1, False)]


def test_a_swap_through_sol_is_worth_the_larger_of_gain_and_loss() -> None:
    assert told(derive(_swap(-400_000, 390_000), "w").movements) == _swapped("SOL", 400_000)
    assert told(derive(_swap(390_000, -400_000), "w").movements) == _swapped("SOL", 400_000)


@pytest.mark.parametrize(
    ("gain", "loss", "priced"),
    [(95, 100, True), (94, 100, False), (100, 95, True), (100, 94, False), (10, 10, True)],
)
def test_gain_and_loss_may_differ_by_five_percent_of_the_larger(gain: int, loss: int, priced: bool) -> None:
    value = 1_000 * max(gain, loss)
    wanted = _swapped("SOL", value) if priced else _swapped(None, None)
    assert told(derive(_swap(1_000 * gain, -1_000 * loss), "w").movements) == wanted


def test_sol_under_ten_thousand_lamports_is_no_route() -> None:
    assert told(derive(_swap(10_000, -9_999), "w").movements) == _swapped(None, None)
    assert told(derive(_swap(10_000, -10_000), "w").movements) == _swapped("SOL", 10_000)


def test_a_swap_through_dollars_takes_both_dollars_together() -> None:
    assert told(derive(_swap(0, 0, usd=(95, -100)), "w").movements) == _swapped("USDT", 100)
    assert told(derive(_swap(0, 0, usd=(-100, 100)), "w").movements) == _swapped("USDC", 100)
    assert told(derive(_swap(0, 0, usd=(1, -1)), "w").movements) == _swapped("USDC", 1)


def test_sol_is_looked_at_before_dollars() -> None:
    assert told(derive(_swap(-50_000, 50_000, usd=(-90, 90)), "w").movements) == _swapped("SOL", 50_000)


def test_a_swap_that_passed_through_nothing_is_unpriced() -> None:
    assert told(derive(_swap(0, 0), "w").movements) == _swapped(None, None)
    assert told(derive(_swap(0, 0, usd=(94, -100)), "w").movements) == _swapped(None, None)


def test_a_routed_value_is_never_a_sum_along_the_route() -> None:
    # The router hands on what it got: one SOL is seen leaving pool-a, passing `hop` unchanged, entering pool-b.
    routed = made(
        {
            "w": (SOL, SOL - FEE),
            "a": (1, 1),
            "b": (1, 1),
            "pool-a": (9 * SOL, 8 * SOL),
            "hop": (5, 5),
            "pool-b": (0, SOL - 10_000_000),
            "pool-c": (0, 10_000_000),
        },
        [("a", "m", "w", 70, 0), ("b", "n", "w", 0, 5)],
    )
    assert told(derive(routed, "w").movements) == _swapped("SOL", SOL)


def test_sol_of_the_wallet_itself_and_of_its_accounts_is_no_route() -> None:
    own = made(
        {"w": (SOL, SOL - FEE - 400_000), "a": (RENT, RENT), "b": (0, 400_000)},
        [("a", "m", "w", 70, 0), ("b", "n", "w", None, 5)],
    )
    assert told(derive(own, "w").movements) == _swapped(None, None)


def test_a_quote_change_beside_a_swap_is_cost() -> None:
    swap = _swap(-400_000, 400_000)
    tipped = Transaction(
        **{name: getattr(swap, name) for name in swap.__slots__} | {"post": (SOL // 2, *swap.post[1:])}
    )
    assert told(derive(tipped, "w").movements) == _swapped("SOL", 400_000)


def test_each_side_of_a_swap_splits_by_its_own_number_of_tokens() -> None:
    swap = made(
        {"w": (SOL, SOL - FEE), "a": (1, 1), "b": (1, 1), "c": (1, 1), "p": (SOL, 0), "q": (0, SOL)},
        [("a", "m", "w", 70, 0), ("b", "n", "w", 0, 5), ("c", "k", "w", 2, 0)],
    )
    assert told(derive(swap, "w").movements) == [
        ("sell", "k", 2, "SOL", SOL, 2, True),
        ("sell", "m", 70, "SOL", SOL, 2, True),
        ("buy", "n", 5, "SOL", SOL, 1, False),
    ]


def test_two_wallets_in_one_transaction_both_get_their_trades() -> None:
    deal = made(
        {"w": (SOL, SOL // 2 - FEE), "v": (0, SOL // 2), "a": (RENT, RENT), "b": (RENT, RENT)},
        [("a", "m", "w", 0, 70), ("b", "m", "v", 70, 0)],
        signers=("w", "v"),
    )
    assert told(derive(deal, "w").movements) == [("buy", "m", 70, "SOL", SOL // 2, 1, False)]
    assert told(derive(deal, "v").movements) == [("sell", "m", 70, "SOL", SOL // 2, 1, False)]


@pytest.mark.parametrize(
    ("lamports", "usd", "seen"),
    [(-SOL, 150, True), (SOL, -150, True), (-10_000_000, 150, False), (-10_000_001, 150, True), (SOL, 150, False)],
)
def test_sol_against_dollars_alone_observes_the_price(lamports: int, usd: int, seen: bool) -> None:
    exchanged = made({"w": (2 * SOL, 2 * SOL - FEE + lamports), "u": (1, 1)}, [("u", USDT, "w", 200, 200 + usd)])
    derived = derive(exchanged, "w")
    assert derived.movements == ()
    observed = None if derived.observation is None else (derived.observation.usd, derived.observation.lamports)
    assert observed == ((abs(usd), abs(lamports)) if seen else None)


def test_nothing_is_observed_where_a_token_moved_or_the_wallet_did_not_sign() -> None:
    accounts = {"w": (2 * SOL, SOL - FEE), "u": (1, 1), "a": (1, 1)}
    with_token = made(accounts, [("u", USDC, "w", 0, 150), ("a", "m", "w", 0, 1)])
    unsigned = made(accounts, [("u", USDC, "w", 0, 150)], signers=("other",))
    assert derive(with_token, "w").observation is None
    assert derive(unsigned, "w") == NOTHING


def test_an_account_without_a_known_owner_is_nobodys() -> None:
    old = made({"w": (SOL, SOL // 2 - FEE), "a": (1, 1)}, [("a", "m", None, 0, 70)])
    assert derive(old, "w") == NOTHING


@given(st.data())
def test_the_order_of_the_accounts_behind_the_fee_payer_does_not_matter(data: st.DataObject) -> None:
    changes = data.draw(st.lists(st.integers(-(10**6), 10**6), min_size=4, max_size=4))
    names = data.draw(st.permutations(["a", "b", "p", "q"]))
    owners = {"a": "w", "b": "w", "p": "x", "q": "y"}
    mints = {"a": "m", "b": data.draw(st.sampled_from(["n", USDC])), "p": USDC, "q": USDT}
    moved = dict(zip(["a", "b", "p", "q"], changes, strict=True))
    paid = data.draw(st.integers(-(10**6), 10**6))

    def build(order: list[str]) -> Transaction:
        accounts = {"w": (SOL, SOL - paid)} | {name: (SOL, SOL + moved[name]) for name in order}
        return made(accounts, [(name, mints[name], owners[name], SOL, SOL + moved[name]) for name in order])

    assert derive(build(names), "w") == derive(build(["a", "b", "p", "q"]), "w")
