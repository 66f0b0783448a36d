"""The behaviour of a wallet, against a reference that sells base unit by base unit, and by hand."""

from __future__ import annotations

import dataclasses
import itertools
import json
import statistics
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.measures.behaviour import Behaviour, Trade, measure

MINUTE, HOUR, DAY = 60, 3600, 86400
KEYS = [
    *("trades", "buys", "sells", "mints", "mints_both_sides", "buy_sell_ratio"),
    *("median_hold_s", "mean_hold_s", "hold_bins"),
    *(
        "realised_profit_sol",
        "realised_profit_sol_by_mint",
        "unrealised_profit_sol",
        "unmatched_sold_share",
        "win_rate",
    ),
    *("sessions", "trades_per_session", "median_session_s", "trades_by_hour", "reentry_rate", "style"),
]
NUMBERS = itertools.count()


def _trade(side: Any, at: int, mint: str = "M", amount: int = 10, value: float | None = 1.0, **changed: Any) -> Trade:
    plain = {"signature": f"s{next(NUMBERS):08}", "slot": at, "transaction_index": None}
    return Trade(block_at=at, side=side, mint=mint, amount=amount, value_sol=value, **(plain | changed))


def _buy(at: int, *rest: Any, **changed: Any) -> Trade:
    return _trade("buy", at, *rest, **changed)


def _sell(at: int, *rest: Any, **changed: Any) -> Trade:
    return _trade("sell", at, *rest, **changed)


def _per(part: float, whole: float) -> float | None:
    return part / whole if whole else None


@dataclasses.dataclass
class _Sold:
    """What selling base unit by base unit leaves behind: what is unsold, pieces by (buy, sell), and so on."""

    queues: dict[str, list[Trade]] = dataclasses.field(default_factory=dict)
    pieces: dict[tuple[str, str], int] = dataclasses.field(default_factory=dict)
    unmatched: float = 0.0
    sold_out: set[str] = dataclasses.field(default_factory=set)
    again: set[str] = dataclasses.field(default_factory=set)

    def sell_unit(self, trade: Trade) -> None:
        queue = self.queues[trade.mint]
        lot = queue.pop(0) if queue else None
        if lot is not None and not queue:
            self.sold_out.add(trade.mint)
        if lot is not None and lot.value_sol is not None:
            piece = (lot.signature, trade.signature)
            self.pieces[piece] = self.pieces.get(piece, 0) + 1
        elif trade.value_sol is not None:
            self.unmatched += trade.value_sol / trade.amount


def _sold(trades: list[Trade]) -> _Sold:
    sold = _Sold()
    for trade in trades:
        queue = sold.queues.setdefault(trade.mint, [])
        if trade.side == "buy":
            queue.extend([trade] * trade.amount)
            sold.again |= {trade.mint} & sold.sold_out
        else:
            for _ in range(trade.amount):
                sold.sell_unit(trade)
    return sold


def _lots(trades: list[Trade], pieces: dict[tuple[str, str], int]) -> dict[str, Any]:
    """What the pieces say: hold times, bins, profits."""
    by_signature = {trade.signature: trade for trade in trades}
    holds, costs, profits = [], [], {}
    for (bought, sold), units in pieces.items():
        lot, sell = by_signature[bought], by_signature[sold]
        holds.append(sell.block_at - lot.block_at)
        costs.append((lot.value_sol or 0) * units / lot.amount)
        if sell.value_sol is not None:
            gain = sell.value_sol * units / sell.amount - costs[-1]
            profits[lot.mint] = profits.get(lot.mint, 0.0) + gain
    limits = [0, MINUTE, 5 * MINUTE, 30 * MINUTE, 4 * HOUR, DAY, 7 * DAY, 10**12]
    bins = [sum(low <= hold < high for hold in holds) for low, high in itertools.pairwise(limits)]
    sold_nothing = all(trade.side == "buy" for trade in trades)
    return {
        "median_hold_s": statistics.median(holds) if holds else None,
        "mean_hold_s": _per(sum(hold * cost for hold, cost in zip(holds, costs, strict=True)), sum(costs)),
        "hold_bins": [part / len(holds) for part in bins] if holds else None,
        "realised_profit_sol": sum(profits.values()) if profits or sold_nothing else None,
        "realised_profit_sol_by_mint": profits,
        "win_rate": _per(sum(profit > 1e-10 for profit in profits.values()), len(profits)),
    }


def _unrealised(queues: dict[str, list[Trade]], holdings: Any, prices: Any) -> float | None:
    """Holding × price − remaining cost, None while a price (of the holding or of a lot) is unknown."""
    total = 0.0
    for mint, queue in queues.items():
        if not queue:
            continue
        held = None if holdings is None else holdings.get(mint, 0)
        price = 0.0 if held == 0 else (prices or {}).get(mint)
        if held is None or price is None or any(lot.value_sol is None for lot in queue):
            return None
        total += held * price - sum((lot.value_sol or 0) / lot.amount for lot in queue)
    return total


def _sessions(times: list[int]) -> list[list[int]]:
    sessions: list[list[int]] = []
    for at in times:
        if sessions and at - sessions[-1][-1] <= 2 * HOUR:
            sessions[-1].append(at)
        else:
            sessions.append([at])
    return sessions


def _reference(trades: list[Trade], holdings: Any, prices: Any) -> dict[str, Any]:
    """Section 9, with a queue of single base units for every mint; the trades come in the order of their slots."""
    sold, sessions = _sold(trades), _sessions([trade.block_at for trade in trades])
    lots = _lots(trades, sold.pieces)
    buys = [trade for trade in trades if trade.side == "buy"]
    sells = [trade for trade in trades if trade.side == "sell"]
    with_sell = {trade.mint for trade in sells}
    received = sum(trade.value_sol for trade in sells if trade.value_sol is not None)
    return lots | {
        "trades": len(trades),
        "buys": len(buys),
        "sells": len(sells),
        "mints": len(sold.queues),
        "mints_both_sides": len({trade.mint for trade in buys} & with_sell),
        "buy_sell_ratio": _per(len(buys), len(sells)),
        "unrealised_profit_sol": _unrealised(sold.queues, holdings, prices),
        "unmatched_sold_share": _per(sold.unmatched, received),
        "sessions": len(sessions),
        "trades_per_session": _per(len(trades), len(sessions)),
        "median_session_s": statistics.median(times[-1] - times[0] for times in sessions) if sessions else None,
        "trades_by_hour": [sum(t.block_at // HOUR % 24 == hour for t in trades) for hour in range(24)],
        "reentry_rate": _per(len(sold.again), len(sold.queues)),
        "style": _style(len(buys), len(sells), len(sold.queues), len(with_sell), lots["median_hold_s"]),
    }


def _style(buys: int, sells: int, mints: int, with_sell: int, median: float | None) -> str | None:
    if buys + sells < 5 or mints < 2:
        return "low activity"
    if (sells == 0 or buys > 2.5 * sells) and 10 * with_sell < 3 * mints:
        return "accumulator"
    limits = {"sniper": 60, "scalper": 300, "momentum": 1800, "intraday": 14400, "day trader": 86400, "swing": 604800}
    if median is None:
        return None
    return next((style for style, limit in limits.items() if median < limit), "position")


GAP = st.sampled_from([1, 30, 59, 60, 61, 299, 300, 1800, 7199, 7200, 7201, 14400, 86400, 604800, 604801])
DRAWN = st.tuples(
    GAP,
    st.sampled_from(["buy", "buy", "sell"]),
    st.sampled_from("ABC"),
    st.sampled_from([1, 2, 4, 8]),
    st.sampled_from([None, 0.25, 0.5, 1.0, 2.0, 4.0]),
)


@given(
    st.lists(DRAWN, max_size=25),
    st.none() | st.dictionaries(st.sampled_from("ABC"), st.integers(0, 9)),
    st.none() | st.dictionaries(st.sampled_from("ABC"), st.none() | st.sampled_from([0.25, 1.0])),
    st.randoms(use_true_random=False),
)
def test_every_number_agrees_with_the_reference(drawn: list[Any], holdings: Any, prices: Any, shuffler: Any) -> None:
    times = itertools.accumulate((row[0] for row in drawn), initial=1_700_000_000)
    trades = [_trade(side, at, mint, n, value) for at, (_, side, mint, n, value) in zip(times, drawn, strict=False)]
    shuffled = list(trades)
    shuffler.shuffle(shuffled)
    found = dataclasses.asdict(measure(shuffled, holdings, prices))
    assert list(found) == KEYS
    reference = _reference(trades, holdings, prices)
    assert sorted(reference) == sorted(KEYS)
    for key, wanted in reference.items():
        got = list(found[key]) if isinstance(found[key], tuple) else found[key]
        assert got == (wanted if wanted is None or isinstance(wanted, str) else pytest.approx(wanted, abs=1e-9)), key


def test_behaviour_is_plain_json() -> None:
    found = json.loads(json.dumps(dataclasses.asdict(measure([_buy(0), _sell(5)]))))
    assert found["realised_profit_sol_by_mint"] == {"M": 0.0}
    assert list(found) == KEYS


def test_a_sell_takes_the_oldest_lots_first_and_splits_them() -> None:
    """10 for 1 SOL at 0 and 10 for 3 SOL at 100; 15 sold for 6 SOL at 200.

    Pieces: 10 held 200 s that cost 1, 5 held 100 s that cost 1.5. Profit 6 − 2.5 = 3.5; left 5 that cost 1.5.
    Mean hold (1 · 200 + 1.5 · 100) / 2.5 = 140 s, median 150 s.
    """
    trades = [_buy(0, "M", 10, 1.0), _buy(100, "M", 10, 3.0), _sell(200, "M", 15, 6.0)]
    found = measure(trades, {"M": 5}, {"M": 0.5})
    assert found.realised_profit_sol == pytest.approx(3.5)
    assert found.mean_hold_s == pytest.approx(140)
    assert found.median_hold_s == 150
    assert found.hold_bins == (0, 1, 0, 0, 0, 0, 0)
    assert found.unrealised_profit_sol == pytest.approx(5 * 0.5 - 1.5)
    assert found.unmatched_sold_share == 0


def test_a_sell_without_lots_is_reported_and_nothing_else() -> None:
    found = measure([_sell(10, value=5.0), _buy(20), _sell(30, value=1.0)])
    assert found.unmatched_sold_share == pytest.approx(5 / 6)
    assert (found.realised_profit_sol, found.median_hold_s, found.win_rate) == (0.0, 10, 0.0)


def test_what_is_sold_beyond_the_lots_has_its_proceeds_pro_rata() -> None:
    """4 bought for 1 SOL, 10 sold for 5: the 4 brought 2, the other 6 brought 3."""
    found = measure([_buy(0, "M", 4, 1.0), _sell(9, "M", 10, 5.0)])
    assert found.realised_profit_sol == pytest.approx(1.0)
    assert found.unmatched_sold_share == pytest.approx(0.6)


def test_a_piece_of_an_unpriced_lot_is_left_out_but_uses_the_lot_up() -> None:
    """The unpriced 10 come first: of the 20 sold for 4, only the second 10, bought for 1, count: 2 − 1 = 1."""
    found = measure([_buy(0, value=None), _buy(50, value=1.0), _sell(100, "M", 20, 4.0)])
    assert found.realised_profit_sol == pytest.approx(1.0)
    assert found.unmatched_sold_share == pytest.approx(0.5)
    assert (found.median_hold_s, found.mean_hold_s) == (50, 50)


def test_an_unpriced_sell_tells_how_long_but_not_for_how_much() -> None:
    found = measure([_buy(0), _sell(40, value=None)])
    assert found.median_hold_s == 40
    assert found.hold_bins == (1, 0, 0, 0, 0, 0, 0)
    assert found.realised_profit_sol_by_mint == {}
    assert [found.realised_profit_sol, found.win_rate, found.unmatched_sold_share] == [None] * 3


def test_unsold_lots_are_not_a_loss() -> None:
    found = measure([_buy(0, value=100.0)], {"M": 10}, {"M": 0.0})
    assert found.realised_profit_sol == 0
    assert found.win_rate is None
    assert found.unrealised_profit_sol == -100


@pytest.mark.parametrize(
    ("holdings", "prices"), [(None, None), (None, {"M": 1.0}), ({"M": 10}, None), ({"M": 10}, {"M": None})]
)
def test_unrealised_profit_is_unknown_while_a_price_or_a_holding_is(holdings: Any, prices: Any) -> None:
    assert measure([_buy(0)], holdings, prices).unrealised_profit_sol is None


def test_unrealised_profit_is_unknown_while_what_a_lot_cost_is() -> None:
    assert measure([_buy(0), _buy(1, value=None)], {"M": 20}, {"M": 1.0}).unrealised_profit_sol is None


def test_a_mint_that_is_sold_and_no_longer_held_needs_no_price() -> None:
    assert measure([_buy(0), _sell(5)], {}, {}).unrealised_profit_sol == 0


def test_lots_that_left_without_a_sell_are_worth_nothing_whatever_the_price() -> None:
    assert measure([_buy(0, value=2.0)], {}, {}).unrealised_profit_sol == -2


def test_huge_amounts_are_exact() -> None:
    """One base unit of 10^30 stays behind, which no float could tell."""
    huge = 10**30
    found = measure([_buy(0, "M", huge), _sell(1, "M", huge - 1), _buy(2, "M", 1), _sell(3, "M", 2)])
    assert found.unmatched_sold_share == 0
    assert found.reentry_rate == 0
    again = measure([_buy(0, "M", huge), _sell(1, "M", huge), _buy(2, "M", 1)])
    assert again.reentry_rate == 1


@pytest.mark.parametrize(
    ("hold", "place"),
    [(0, 0), (59, 0), (60, 1), (299, 1), (300, 2), (1799, 2), (1800, 3), (4 * HOUR - 1, 3), (4 * HOUR, 4)]
    + [(DAY - 1, 4), (DAY, 5), (7 * DAY - 1, 5), (7 * DAY, 6), (900 * DAY, 6)],
)
def test_bins_and_styles_are_half_open(hold: int, place: int) -> None:
    styles = ["sniper", "scalper", "momentum", "intraday", "day trader", "swing", "position"]
    at = 1_700_000_000
    trades = [_buy(at, "A"), _buy(at, "B"), _buy(at, "B")]
    found = measure([*trades, _sell(at + hold, "A"), _sell(at + hold, "B", 20)])
    assert found.hold_bins == tuple(float(number == place) for number in range(7))
    assert found.style == styles[place]


def test_trades_of_one_slot_go_by_their_index() -> None:
    """Sold first, by its index, the sell finds no lot; the signatures say the opposite."""
    sell = _sell(7, signature="b", transaction_index=3)
    buy = _buy(7, signature="a", transaction_index=4)
    assert measure([buy, sell]).unmatched_sold_share == 1
    early = dataclasses.replace(buy, transaction_index=2)
    assert measure([sell, early]).unmatched_sold_share == 0


@pytest.mark.parametrize("indices", [(None, None), (1, None), (None, 1), (2, None)])
def test_where_an_index_of_the_slot_is_unknown_buys_come_first(indices: Any) -> None:
    sell = _sell(7, signature="a", transaction_index=indices[0])
    buy = _buy(7, signature="b", transaction_index=indices[1])
    assert measure([sell, buy]).unmatched_sold_share == 0


def test_where_no_index_tells_lots_of_one_side_go_by_signature() -> None:
    """The lot of 1 SOL has the smaller signature and is sold first: 2 − 1."""
    lots = [_buy(7, value=4.0, signature="b"), _buy(7, value=1.0, signature="a")]
    assert measure([*lots, _sell(8, value=2.0)]).realised_profit_sol == pytest.approx(1.0)


def test_slots_go_before_times() -> None:
    assert measure([_sell(5, slot=2), _buy(5, slot=3)]).unmatched_sold_share == 1


def test_a_win_is_a_profit_above_nothing_over_all_of_a_mint() -> None:
    """A gains 1 and loses 3, B gains 1, C breaks even, D is unsold: one win in three."""
    trades = [_buy(0, "A"), _sell(1, "A", 5, 1.5), _sell(2, "A", 5, 0.0), _buy(3, "A", 10, 2.5), _sell(4, "A", 10, 0.5)]
    trades += [_buy(5, "B"), _sell(6, "B", 10, 2.0), _buy(7, "C"), _sell(8, "C"), _buy(9, "D")]
    found = measure(trades)
    assert found.realised_profit_sol_by_mint == {"A": pytest.approx(-1.5), "B": 1.0, "C": 0.0}
    assert found.win_rate == pytest.approx(1 / 3)


@pytest.mark.parametrize(("parts", "value"), [(3, 0.3), (7, 0.7), (18, 0.1)])
def test_breaking_even_in_parts_is_no_win_by_rounding_error(parts: int, value: float) -> None:
    sells = [_sell(1 + at, "M", 1, value) for at in range(parts)]
    found = measure([_buy(0, "M", parts, value * parts), *sells])
    assert 0 < (found.realised_profit_sol or 0) < 1e-12, "floats do leave an error here"
    assert found.win_rate == 0


def test_a_lamport_is_a_win() -> None:
    assert measure([_buy(0, value=1.0), _sell(1, value=1.000000001)]).win_rate == 1


def test_a_gap_of_more_than_two_hours_starts_a_session() -> None:
    """Trades at 0, 2 h, 4 h 1 s and 4 h 11 s: two sessions, of 2 h and of 10 s."""
    found = measure([_buy(at) for at in (0, 2 * HOUR, 4 * HOUR + 1, 4 * HOUR + 11)])
    assert (found.sessions, found.trades_per_session, found.median_session_s) == (2, 2, (2 * HOUR + 10) / 2)


def test_hours_are_those_of_utc() -> None:
    """1,700,000,000 is 14 November 2023, 22:13:20 UTC."""
    found = measure([_buy(1_700_000_000), _buy(1_700_000_000 + 2 * HOUR)])
    assert [hour for hour, trades in enumerate(found.trades_by_hour) if trades] == [0, 22]
    assert sum(found.trades_by_hour) == 2


def test_reentry_is_a_buy_after_the_last_lot_is_sold() -> None:
    """A is bought again after it was sold out, B while some is left, C is only sold first, D never: one of four."""
    trades = [_buy(0, "A"), _sell(1, "A"), _buy(2, "A"), _buy(3, "B"), _sell(4, "B", 9), _buy(5, "B")]
    trades += [_sell(6, "C"), _buy(7, "C"), _buy(8, "D")]
    assert measure(trades).reentry_rate == pytest.approx(1 / 4)


def _style_of(buys: dict[str, int], sells: dict[str, int]) -> str | None:
    trades = [_buy(at, mint) for mint, times in buys.items() for at in range(times)]
    return measure(trades + [_sell(100, mint) for mint, times in sells.items() for _ in range(times)]).style


@pytest.mark.parametrize(
    ("buys", "sells", "style"),
    [
        ({"A": 2, "B": 2}, {}, "low activity"),
        ({"A": 9}, {"A": 9}, "low activity"),
        ({"A": 3, "B": 2}, {}, "accumulator"),
        # Buys are 2.5 times the sells, not more.
        ({"A": 2, "B": 1, "C": 1, "D": 1}, {"A": 2}, "scalper"),
        ({"A": 3, "B": 1, "C": 1, "D": 1}, {"A": 2}, "accumulator"),
        # 3 of 10 mints have a sell, which is not under 30 %.
        (dict.fromkeys("ABCDEFGHIJ", 1), {"A": 1, "B": 1, "C": 1}, "scalper"),
        (dict.fromkeys("ABCDEFGHIJ", 1), {"A": 1, "B": 1}, "accumulator"),
        # Only sold: no piece is closed.
        ({}, {"A": 3, "B": 3}, None),
    ],
)
def test_styles(buys: dict[str, int], sells: dict[str, int], style: str | None) -> None:
    assert _style_of(buys, sells) == style


def test_no_trade_is_no_behaviour() -> None:
    nothing = measure([])
    assert dataclasses.asdict(nothing) == {
        **dict.fromkeys(KEYS),
        **dict.fromkeys(["trades", "buys", "sells", "mints", "mints_both_sides", "sessions"], 0),
        "realised_profit_sol": 0.0,
        "realised_profit_sol_by_mint": {},
        "unrealised_profit_sol": 0.0,
        "trades_by_hour": (0,) * 24,
        "style": "low activity",
    }
    assert isinstance(nothing, Behaviour)
