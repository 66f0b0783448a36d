"""Timing against a slow reference written from section 5 of measures.md, worked examples and planted truth."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import combinations, permutations
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.measures import timing
from tasks.measures.matching import TimedTrades
from tasks.measures.timing import Timing, matches, measure
from tests.support.trade_density import trade_densities

COLUMNS = [
    "matched",
    "matched_mints",
    "matched_share",
    "same_slot",
    "median_lag_s",
    "leader",
    "lead_share",
    "expected",
    "timing_p_value",
]


class Trade(NamedTuple):
    """A trade of the reference; `rank` stands for the signature."""

    wallet: int
    mint: int
    side: int
    time: int
    slot: int
    index: int
    rank: int


World = list[Trade]


def _arrays(world: Iterable[Trade]) -> TimedTrades:
    rows = list(world)
    return TimedTrades(*(np.array([trade[at] for trade in rows], dtype=np.int64) for at in range(7)))


def _measure(world: World, pairs: list[tuple[int, int]], window_s: int, background: World | None = None) -> Timing:
    trades = _arrays(world)
    density = trade_densities(trades, trades if background is None else _arrays(background), window_s)
    return measure(trades, density, [a for a, _ in pairs], [b for _, b in pairs], window_s)


def _row(result: Timing, at: int) -> dict[str, Any]:
    row = {name: getattr(result, name)[at].item() for name in COLUMNS}
    return {name: None if math.isnan(value) else value for name, value in row.items()}


def _greedy(a: World, b: World, window_s: int) -> list[tuple[Trade, Trade]]:
    """Match one mint and side: all within the window, smallest gap first, each trade once."""

    def place(pair: tuple[Trade, Trade]) -> tuple[int, ...]:
        x, y = pair
        ranks = sorted([x.rank, y.rank])
        return abs(y.time - x.time), min(x.time, y.time), *ranks

    free: set[tuple[str, Trade]] = {("a", trade) for trade in a} | {("b", trade) for trade in b}
    found = []
    for x, y in sorted(((x, y) for x in a for y in b if abs(x.time - y.time) <= window_s), key=place):
        if ("a", x) in free and ("b", y) in free:
            free -= {("a", x), ("b", y)}
            found.append((x, y))
    return found


def _split(world: World, a: int, b: int) -> Iterator[tuple[World, World]]:
    """Give the trades of both wallets on every shared mint and side."""
    mints = {trade.mint for trade in world if trade.wallet == a} & {trade.mint for trade in world if trade.wallet == b}
    for mint in mints:
        for side in (0, 1):
            rows = [trade for trade in world if (trade.mint, trade.side) == (mint, side)]
            yield [trade for trade in rows if trade.wallet == a], [trade for trade in rows if trade.wallet == b]


def _first(x: Trade, y: Trade) -> int:
    if x.slot != y.slot:
        return 1 if x.slot < y.slot else 2
    if -1 in (x.index, y.index) or x.index == y.index:
        return 0
    return 1 if x.index < y.index else 2


def _density(trade: Trade, background: World, window_s: int) -> float:
    alike = [other for other in background if (other.mint, other.side) == (trade.mint, trade.side)]
    if len({other.wallet for other in alike}) >= 30:
        return sum(abs(other.time - trade.time) <= window_s for other in alike) / len(alike)
    times = [other.time for other in background if other.mint == trade.mint]
    span = max(times) - min(times) if times else 0
    return min(1.0, 2 * window_s / span) if span else 1.0


def _at_least(count: int, mean: float) -> float:
    """P(Poisson(mean) ≥ count)."""
    return 1 - sum(math.exp(-mean) * mean**k / math.factorial(k) for k in range(count))


def _reference(world: World, a: int, b: int, window_s: int, background: World) -> dict[str, Any]:
    expected, found, totals = 0.0, [], [0, 0]
    for of_a, of_b in _split(world, a, b):
        found += _greedy(of_a, of_b, window_s)
        n_a, n_b = len(of_a), len(of_b)
        f_a, f_b = (sum(_density(trade, background, window_s) for trade in rows) for rows in (of_a, of_b))
        expected += min((n_b * f_a + n_a * f_b) / 2, n_a, n_b)
        totals = [totals[0] + n_a, totals[1] + n_b]
    firsts = [sum(_first(x, y) == number for x, y in found) for number in (1, 2)]
    leader = 0 if firsts[0] == firsts[1] else 1 + firsts.index(max(firsts))
    return {
        "matched": len(found),
        "matched_mints": len({x.mint for x, _ in found}),
        "matched_share": len(found) / min(totals) if min(totals) else None,
        "same_slot": sum(x.slot == y.slot for x, y in found),
        "median_lag_s": float(np.median([y.time - x.time for x, y in found])) if found else None,
        "leader": leader,
        "lead_share": max(firsts) / len(found) if leader else None,
        "expected": expected,
        "timing_p_value": _at_least(len(found), expected) if expected else None,
    }


@st.composite
def _worlds(draw: st.DrawFn, wallets: int = 4, most_time: int = 12) -> World:
    """Draw transactions, each at one time and slot, and trades in them; times are close, so that ties abound."""
    count = draw(st.integers(1, 25))
    times = draw(st.lists(st.integers(0, most_time), min_size=count, max_size=count))
    indices = draw(st.lists(st.integers(-1, 2), min_size=count, max_size=count))
    chosen = st.tuples(st.integers(0, wallets - 1), st.integers(0, 2), st.integers(0, 1), st.integers(0, count - 1))
    rows = draw(st.lists(chosen, max_size=60, unique=True))
    return [
        Trade(wallet, mint, side, 1000 + times[rank], times[rank] // 2, indices[rank], rank)
        for wallet, mint, side, rank in rows
    ]


def _buy(wallet: int, time: int, rank: int, *, mint: int = 0, index: int = -1) -> Trade:
    """Make a buy of which slot and time say the same."""
    return Trade(wallet, mint, 0, time, time, index, rank)


@given(_worlds(), st.integers(0, 6))
def test_every_measure_of_every_pair_agrees_with_the_reference(world: World, window_s: int) -> None:
    pairs = list(permutations(range(5), 2))
    result = _measure(world, pairs, window_s)
    for at, (a, b) in enumerate(pairs):
        expected = _reference(world, a, b, window_s, world)
        assert _row(result, at) == {
            name: value if value is None else pytest.approx(value, abs=1e-9) for name, value in expected.items()
        }


@given(_worlds(wallets=2, most_time=40), st.integers(0, 20))
def test_the_listed_matches_are_those_of_the_greedy_walk_by_time(world: World, window_s: int) -> None:
    a, b = ([trade for trade in world if trade.wallet == number] for number in (0, 1))
    listed = matches(_arrays(a), _arrays(b), window_s)
    wanted = [pair for rows in _split(world, 0, 1) for pair in _greedy(*rows, window_s)]
    found = [(a[match.trade_a], b[match.trade_b]) for match in listed]
    assert sorted(found) == sorted(wanted)
    starts = [(min(x.time, y.time), max(x.time, y.time)) for x, y in found]
    assert starts == sorted(starts)
    for match, (x, y) in zip(listed, found, strict=True):
        assert (match.lag_s, match.same_slot) == (y.time - x.time, x.slot == y.slot)
        assert match.leader == _first(x, y)
    assert _row(_measure(world, [(0, 1)], window_s), 0)["matched"] == len(listed)


@given(_worlds(), st.integers(0, 6))
def test_exchanging_the_wallets_turns_the_lag_and_the_leader_and_nothing_else(world: World, window_s: int) -> None:
    pairs = list(combinations(range(4), 2))
    there, back = _measure(world, pairs, window_s), _measure(world, [(b, a) for a, b in pairs], window_s)
    for at in range(len(pairs)):
        turned = _row(back, at)
        turned["median_lag_s"] = None if turned["median_lag_s"] is None else -turned["median_lag_s"]
        turned["leader"] = (0, 2, 1)[turned["leader"]]
        assert turned == _row(there, at)


@given(_worlds(), st.integers(0, 6), st.randoms())
def test_the_order_of_the_trades_changes_nothing(world: World, window_s: int, shuffler: Any) -> None:
    pairs = list(combinations(range(4), 2))
    shuffled = list(world)
    shuffler.shuffle(shuffled)
    one, other = _measure(world, pairs, window_s), _measure(shuffled, pairs, window_s)
    for at in range(len(pairs)):
        assert _row(one, at) == pytest.approx(_row(other, at), abs=1e-12)


@given(_worlds(), st.integers(0, 6))
def test_small_chunks_give_the_same_measures(world: World, window_s: int) -> None:
    pairs = list(permutations(range(5), 2))
    whole = _measure(world, pairs, window_s)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timing, "CHUNK_TRADES", 7)
        pieces = _measure(world, pairs, window_s)
    assert [_row(pieces, at) for at in range(len(pairs))] == [_row(whole, at) for at in range(len(pairs))]


@pytest.mark.parametrize("step", [0, 1, 5])
@pytest.mark.parametrize("shift", [0, 2])
def test_ten_trades_against_ten_give_ten_matches_and_not_a_hundred(step: int, shift: int) -> None:
    world = [_buy(0, step * k, k) for k in range(10)] + [_buy(1, step * k + shift, 10 + k) for k in range(10)]
    row = _row(_measure(world, [(0, 1)], 60), 0)
    assert (row["matched"], row["matched_share"]) == (10, 1.0)


def test_the_smallest_gap_goes_first_and_the_rest_is_matched_with_what_is_left() -> None:
    # 3 s (7 → 10) first; then 0 with 12, 12 s; 100 is alone with nothing within 60 s.
    world = [_buy(0, 0, 0), _buy(0, 7, 1), _buy(0, 100, 2), _buy(1, 10, 3), _buy(1, 12, 4)]
    a, b = world[:3], world[3:]
    listed = [
        (match.trade_a, match.trade_b, match.lag_s, match.leader) for match in matches(_arrays(a), _arrays(b), 60)
    ]
    assert listed == [(0, 1, 12, 1), (1, 0, 3, 1)]
    row = _row(_measure(world, [(0, 1)], 60), 0)
    # The span is 100 s, under 2 · 60: f = 1, λ = min(½ (2·3 + 3·2), 3, 2) = 2, P(Poisson(2) ≥ 2) = 1 − 3/e².
    assert row == {
        "matched": 2,
        "matched_mints": 1,
        "matched_share": 1.0,
        "same_slot": 0,
        "median_lag_s": 7.5,
        "leader": 1,
        "lead_share": 1.0,
        "expected": 2.0,
        "timing_p_value": pytest.approx(1 - 3 / math.e**2, abs=1e-12),
    }


def test_equal_gaps_go_by_time_and_then_by_signature() -> None:
    # b at 5 is 5 s from both of a's: the earlier match (0, 5) wins.
    assert [m.trade_a for m in matches(_arrays([_buy(0, 10, 0), _buy(0, 0, 1)]), _arrays([_buy(1, 5, 2)]), 60)] == [1]
    # Three of a's in one second, two of b's in another: the smaller signatures, 2 and 4, meet 1 and 3.
    a, b = [_buy(0, 0, 9), _buy(0, 0, 4), _buy(0, 0, 2)], [_buy(1, 8, 3), _buy(1, 8, 1)]
    assert {(m.trade_a, m.trade_b) for m in matches(_arrays(a), _arrays(b), 60)} == {(2, 1), (1, 0)}


def test_the_window_includes_its_edge() -> None:
    world = [_buy(0, 0, 0), _buy(1, 60, 1)]
    assert [_row(_measure(world, [(0, 1)], window), 0)["matched"] for window in (59, 60)] == [0, 1]


def test_sides_and_mints_are_not_mixed() -> None:
    world = [_buy(0, 0, 0), _buy(0, 0, 1, mint=1), _buy(1, 0, 2, mint=2), Trade(1, 0, 1, 0, 0, -1, 3)]
    row = _row(_measure(world, [(0, 1)], 60), 0)
    # Mint 0 is shared, so there are trades to match, but on opposite sides: no chance of a match either.
    assert (row["matched"], row["matched_share"], row["expected"], row["timing_p_value"]) == (0, 0.0, 0.0, None)


def test_within_a_slot_the_index_says_who_was_first_when_both_are_known() -> None:
    for index_a, index_b, leader in [(1, 2, 1), (2, 1, 2), (1, 1, 0), (-1, 2, 0), (2, -1, 0), (-1, -1, 0)]:
        world = [_buy(0, 0, 0, index=index_a), _buy(1, 0, 1, index=index_b)]
        row = _row(_measure(world, [(0, 1)], 60), 0)
        assert (row["leader"], row["same_slot"]) == (leader, 1)
        assert row["lead_share"] == (1.0 if leader else None)


def test_the_slot_says_who_was_first_where_the_seconds_are_equal() -> None:
    world = [Trade(0, 0, 0, 5, 101, 0, 0), Trade(1, 0, 0, 5, 100, 9, 1)]
    row = _row(_measure(world, [(0, 1)], 60), 0)
    assert (row["leader"], row["median_lag_s"], row["same_slot"]) == (2, 0.0, 0)


def test_as_many_firsts_on_both_sides_have_no_leader() -> None:
    world = [_buy(0, 0, 0), _buy(1, 5, 1), _buy(1, 1000, 2), _buy(0, 1007, 3), _buy(0, 2000, 4), _buy(1, 2000, 5)]
    row = _row(_measure(world, [(0, 1)], 60), 0)
    assert (row["matched"], row["leader"], row["lead_share"], row["median_lag_s"]) == (3, 0, None, 0.0)
    # One more of a's firsts: it leads in two of four, the unled match counts below.
    row = _row(_measure([*world, _buy(0, 3000, 6), _buy(1, 3001, 7)], [(0, 1)], 60), 0)
    assert (row["leader"], row["lead_share"]) == (1, 0.5)


def test_wallets_without_trades_or_shared_mints_have_not_enough_data() -> None:
    none = dict.fromkeys(COLUMNS) | dict.fromkeys(["matched", "matched_mints", "same_slot", "leader"], 0)
    result = _measure([_buy(0, 0, 0), _buy(1, 0, 1, mint=1)], [(0, 1), (0, 7), (8, 9)], 60)
    assert [_row(result, at) for at in range(3)] == [none | {"expected": 0.0}] * 3
    empty = _measure([], [(0, 1)], 60)
    assert _row(empty, 0) == none | {"expected": 0.0}
    assert len(_measure([], [], 60)) == len(_measure([_buy(0, 0, 0)], [], 60)) == 0
    assert matches(_arrays([]), _arrays([_buy(1, 0, 0)]), 60) == []
    assert len(trade_densities(_arrays([]), _arrays([]), 60)) == 0


@pytest.mark.parametrize("window_s", [1, 60])
@pytest.mark.parametrize(("offset", "count"), [(0, 1), (1, 1), (1, 3), (5, 1), (5, 2)])
def test_a_regular_rhythm_is_matched_like_the_greedy_walk_does(window_s: int, offset: int, count: int) -> None:
    # Every gap is a tie: a's k-th goes with b's k-th, and each tie hangs on the one before.
    a = [_buy(0, 2 * offset * k, 1000 + k * count + n) for k in range(40) for n in range(count)]
    b = [_buy(1, 2 * offset * k + offset, 3000 + k * count + n) for k in range(40) for n in range(count)]
    listed = matches(_arrays(a), _arrays(b), window_s)
    assert sorted((a[m.trade_a], b[m.trade_b]) for m in listed) == sorted(_greedy(a, b, window_s))


@given(st.lists(st.integers(0, 3), min_size=2, max_size=14), st.lists(st.integers(1, 3), max_size=14))
def test_an_uneven_rhythm_is_matched_like_the_greedy_walk_does(counts: list[int], breaks: list[int]) -> None:
    # The wallets take turns every 5 s (sometimes later), each time with a number of trades, or with none.
    beats = np.cumsum([5 * step for step in (breaks + [1] * len(counts))[: len(counts)]]).tolist()
    trades = [
        _buy(turn % 2, beat, 10 * turn + number)
        for turn, (beat, count) in enumerate(zip(beats, counts, strict=True))
        for number in range(count)
    ]
    a, b = ([trade for trade in trades if trade.wallet == wallet] for wallet in (0, 1))
    for window_s in (5, 60):
        listed = matches(_arrays(a), _arrays(b), window_s)
        assert sorted((a[m.trade_a], b[m.trade_b]) for m in listed) == sorted(_greedy(a, b, window_s))


@pytest.mark.parametrize("seed", range(20))
def test_dense_bots_are_matched_like_the_greedy_walk_does(seed: int) -> None:
    numbers = np.random.default_rng(seed)
    end, window_s = int(numbers.choice([30, 200, 2000])), int(numbers.choice([3, 20, 300]))
    times = numbers.integers(0, end, 160).tolist()
    ranks = numbers.permutation(160).tolist()
    trades = [_buy(at % 2, time, rank) for at, (time, rank) in enumerate(zip(times, ranks, strict=True))]
    a, b = trades[::2], trades[1::2]
    listed = matches(_arrays(a), _arrays(b), window_s)
    assert sorted((a[m.trade_a], b[m.trade_b]) for m in listed) == sorted(_greedy(a, b, window_s))


@pytest.mark.parametrize("seed", range(6))
def test_crowding_agrees_with_the_reference_on_crowded_and_quiet_mints(seed: int) -> None:
    numbers = np.random.default_rng(seed)
    # Of 40 wallets nearly all trade mint 0, some mint 1 (about 30 buy it), few mint 2; mint 3 is in no background.
    background = [
        _buy(int(wallet), int(numbers.integers(0, 400)), rank, mint=mint)._replace(
            side=int(numbers.integers(0, 4) == 0)
        )
        for rank, (mint, wallet) in enumerate(
            (mint, wallet) for mint, size in ((0, 200), (1, 70), (2, 9)) for wallet in numbers.integers(0, 40, size)
        )
    ]
    strangers = [_buy(0, time, 0, mint=mint) for mint in range(4) for time in (-500, -30, 200, 430, 10**6)]
    for window_s in (1, 20, 60, 3600):
        found = trade_densities(_arrays(background + strangers), _arrays(background), window_s)
        wanted = [_density(trade, background, window_s) for trade in background + strangers]
        assert found.tolist() == pytest.approx(wanted, abs=1e-12)


def test_a_crowd_is_thirty_wallets_on_the_same_side() -> None:
    # 29 buy at 0 and one at 1000; then the 30th wallet comes as well. Another's sale at 2000 gives the span.
    buys = [_buy(wallet, 0, wallet) for wallet in range(28)] + [_buy(28, 1000, 28)]
    sale = Trade(50, 0, 1, 2000, 2000, -1, 99)
    quiet = trade_densities(_arrays([buys[0], sale]), _arrays([*buys, buys[0], sale]), 60)
    assert quiet.tolist() == [120 / 2000, 120 / 2000]
    crowded = [*buys, _buy(29, 0, 29), sale]
    assert trade_densities(_arrays([crowded[0], crowded[28], sale]), _arrays(crowded), 60).tolist() == [
        29 / 30,
        1 / 30,
        120 / 2000,
    ]


def test_a_launch_that_everybody_bought_proves_nothing() -> None:
    # Two wallets buy the same four launches 1 s apart, in one world among 40 others, in another alone in a long life.
    both = [
        _buy(wallet, 10_000 * mint + wallet, 2 * mint + wallet, mint=mint) for mint in range(4) for wallet in (0, 1)
    ]
    crowd = [_buy(10 + n, 10_000 * mint + n, 1000, mint=mint) for mint in range(4) for n in range(40)]
    late = [_buy(99, 10_000 * mint + 1_000_000, 2000, mint=mint) for mint in range(4)]
    launched = _row(_measure(both, [(0, 1)], 60, both + crowd + late), 0)
    alone = _row(_measure(both, [(0, 1)], 60, both + late), 0)
    assert launched["matched"] == alone["matched"] == 4
    assert launched["expected"] == pytest.approx(4 * 42 / 43)
    assert launched["timing_p_value"] > 0.5
    assert alone["timing_p_value"] < 1e-12


def _insight(result: Timing) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Mark synchronised trading as section 7 defines it."""
    return (result.matched >= 3) & (result.matched_mints >= 2) & (result.timing_p_value < 0.001)


def _random_trades(
    numbers: np.random.Generator, wallets: Iterable[int], size: int, mints: int, days: int
) -> Iterator[tuple[int, int, int]]:
    """Give wallet, mint and time of independent traders; popular mints are traded more."""
    popularity = 1 / np.arange(1, mints + 1)
    for wallet in wallets:
        chosen = numbers.choice(mints, size, replace=False, p=popularity / popularity.sum())
        yield from ((wallet, int(mint), int(numbers.integers(0, days * 86_400))) for mint in chosen)


def _bought(rows: Iterable[tuple[int, int, int]]) -> World:
    """Make buys, 400 ms a slot, of which every second has a known index."""
    return [
        Trade(wallet, mint, 0, time, time * 5 // 2, rank % 1000 if rank % 2 else -1, rank)
        for rank, (wallet, mint, time) in enumerate(rows)
    ]


@pytest.mark.parametrize("seed", [1, 2])
def test_followers_are_found_and_their_leaders_named(seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    numbers = np.random.default_rng(seed)
    rows = list(_random_trades(numbers, range(300), 30, 500, 30))
    for leader in range(20):
        own = [row for row in rows if row[0] == leader]
        rows += [(300 + leader, mint, time + int(numbers.integers(5, 51))) for _, mint, time in own]
    planted = [(leader, 300 + leader) for leader in range(20)]
    others = [pair for pair in combinations(range(300), 2)]
    result = _measure(_bought(rows), [*planted, *((b, a) for a, b in planted), *others], 60)
    named = (result.leader[:20] == 1) & (result.leader[20:40] == 2)
    proven = (result.matched >= 5) & (result.lead_share >= 0.8) & (result.timing_p_value < 0.001)
    false = float(np.mean(_insight(result)[40:]))
    with capsys.disabled():
        print(f"\nfollowers: {np.mean(named):.1%} of leaders named, {false:.3%} of unrelated pairs synchronised")
    assert named.all()
    assert proven[:40].all()
    assert np.all((result.median_lag_s[:20] >= 5) & (result.median_lag_s[:20] <= 50))
    assert false <= 0.001


@pytest.mark.parametrize("seed", [1, 2])
def test_a_crowd_of_snipers_is_not_taken_for_synchronised(seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    # 300 snipers buy 15 % of 300 new tokens within a minute of launch; independent traders come later or not at all.
    numbers = np.random.default_rng(seed)
    launches = numbers.integers(0, 20 * 86_400, 300)
    rows = [
        (sniper, int(token), int(launches[token] + numbers.integers(0, 60)))
        for sniper in range(300)
        for token in numbers.choice(300, 45, replace=False)
    ]
    rows += _random_trades(numbers, range(300, 600), 40, 600, 30)
    pairs = list(combinations(range(300), 2))
    result = _measure(_bought(rows), pairs, 60)
    flagged = float(np.mean(_insight(result)))
    with capsys.disabled():
        print(f"\nsnipers: {np.mean(result.matched):.1f} matched a pair, {flagged:.3%} of {len(pairs)} synchronised")
    assert np.mean((result.matched >= 3) & (result.matched_mints >= 2)) > 0.9
    assert flagged <= 0.01
