"""What chance makes of pairs, against a slow reference written from section 4 of measures.md."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from scipy.stats import false_discovery_control

from tasks.measures import chance
from tasks.measures.chance import Chance, Population, SignificantPairs, assess, expected

MINTS = 12
BEYOND = 60
"""Mints that only background wallets trade."""
WALLET = st.sets(st.integers(0, MINTS - 1), max_size=MINTS)
CROWD = [{number % MINTS, MINTS + number % 40} for number in range(30)]

Wallets = list[set[int]]
Pair = tuple[int, int]


def _presence(wallets: Wallets, mints: int = MINTS) -> csr_matrix:
    places = [(number, mint) for number, traded in enumerate(wallets) for mint in sorted(traded)]
    rows, columns = zip(*places, strict=True) if places else ((), ())
    return csr_matrix((np.ones(len(places)), (rows, columns)), shape=(len(wallets), mints))


def _background(wallets: Wallets, mints: int = MINTS + BEYOND) -> Population:
    traded = [sum(mint in wallet for wallet in wallets) for mint in range(mints)]
    return Population(sum(bool(wallet) for wallet in wallets), np.array(traded, dtype=np.int64))


def _uniform(mints: int, known: int = 40) -> Population:
    """Every mint traded by as many: λ = |T_a|·|T_b| / mints, as long as nobody trades more than there are."""
    return Population(known, np.full(mints, 10, dtype=np.int64))


def _expected(size_a: int, size_b: int, background: Population) -> float:
    total = sum(background.traded.tolist())
    shares = [traded / total for traded in background.traded.tolist()]
    return math.fsum(min(1, size_a * share) * min(1, size_b * share) for share in shares)


def _p_value(shared: int, mean: float) -> float:
    """P(Poisson(mean) ≥ shared), term by term; the head is not subtracted from 1, so that tiny values are right."""
    if shared == 0 or mean == 0:
        return float(shared == 0)
    terms = [math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(shared, shared + 400)]
    return math.fsum(terms)


def _reference(wallets: Wallets, background: Population) -> dict[Pair, dict[str, float]]:
    """Section 4 for every pair with a defined `behavioural`."""
    found: dict[Pair, dict[str, float]] = {}
    for a, b in itertools.combinations(range(len(wallets)), 2):
        if len(wallets[a]) >= 3 and len(wallets[b]) >= 3:
            mean, shared = _expected(len(wallets[a]), len(wallets[b]), background), len(wallets[a] & wallets[b])
            found[a, b] = {"expected": mean, "lift": shared / mean, "p_value": _p_value(shared, mean)}
    every = [row["p_value"] for row in found.values()]
    for row in found.values():
        larger = [p for p in every if p >= row["p_value"]]
        row["q_value"] = min(p * len(every) / sum(other <= p for other in every) for p in larger)
    return found


def _found(result: Chance, wallets: Wallets) -> dict[Pair, dict[str, float]]:
    """All pairs as the program has them, those without values left out; half of them asked the other way round."""
    pairs = list(itertools.combinations(range(len(wallets)), 2))
    asked = [(a, b) if (a + b) % 2 else (b, a) for a, b in pairs]
    values = result.of_pairs(
        [a for a, _ in asked], [b for _, b in asked], [len(wallets[a] & wallets[b]) for a, b in pairs]
    )
    columns = {name: getattr(values, name).tolist() for name in ("expected", "lift", "p_value", "q_value")}
    rows = [{name: column[at] for name, column in columns.items()} for at in range(len(pairs))]
    unknown = [pair for pair, row in zip(pairs, rows, strict=True) if all(map(math.isnan, row.values()))]
    return {pair: row for pair, row in zip(pairs, rows, strict=True) if pair not in unknown}


def _listed(pairs: SignificantPairs) -> list[Pair]:
    return list(zip(pairs.wallet_a.tolist(), pairs.wallet_b.tolist(), strict=True))


def _close(rows: dict[Pair, dict[str, float]]) -> dict[Pair, Any]:
    return {pair: pytest.approx(row, rel=1e-9, abs=0) for pair, row in rows.items()}


@given(st.lists(WALLET, max_size=9), st.lists(st.sets(st.integers(0, MINTS + BEYOND - 1), max_size=50), max_size=4))
def test_every_value_of_every_pair_agrees_with_the_reference(wallets: Wallets, strangers: Wallets) -> None:
    background = _background(wallets + strangers + CROWD)
    result = assess(_presence(wallets), background)
    wanted = _reference(wallets, background)
    assert result.reason is None
    assert result.pairs_tested == len(wanted)
    assert _found(result, wallets) == _close(wanted)
    assert all(0 <= row[name] <= 1 for row in _found(result, wallets).values() for name in ("p_value", "q_value"))


@given(st.lists(WALLET.filter(lambda traded: len(traded) >= 3), min_size=2, max_size=12), st.integers(0, 3))
def test_q_values_are_those_of_scipy(wallets: Wallets, strangers: int) -> None:
    background = _background(wallets + CROWD + [set(range(MINTS, MINTS + BEYOND))] * strangers)
    found = _found(assess(_presence(wallets), background), wallets)
    wanted = false_discovery_control([row["p_value"] for row in found.values()])
    assert [row["q_value"] for row in found.values()] == pytest.approx(wanted.tolist(), rel=1e-12, abs=0)


@given(st.lists(WALLET, max_size=14), st.integers(1, 12))
def test_the_significant_pairs_are_all_there_or_the_best_of_them(wallets: Wallets, limit: int) -> None:
    background = _uniform(MINTS + 300)
    wanted = {pair: row for pair, row in _reference(wallets, background).items() if row["q_value"] < 0.01}
    result = assess(_presence(wallets), background)
    for pairs in (result.significant(), result.significant(limit)):
        listed = _listed(pairs)
        assert len(set(listed)) == len(listed) == len(pairs)
        assert all(
            a < b and shared == len(wallets[a] & wallets[b])
            for (a, b), shared in zip(listed, pairs.shared, strict=True)
        )
        assert pairs.pairs_total == len(wanted)
        assert pairs.cut is (len(listed) < len(wanted))
        best = sorted(row["p_value"] for row in wanted.values())[: len(listed)]
        assert [wanted[pair]["p_value"] for pair in listed] == pytest.approx(best, rel=1e-9, abs=0)
    assert set(_listed(result.significant())) == set(wanted)
    assert len(result.significant(limit)) == min(limit, len(wanted))


@given(st.lists(WALLET, min_size=2, max_size=10), st.randoms())
def test_the_order_of_the_wallets_changes_nothing(wallets: Wallets, shuffler: Any) -> None:
    order = list(range(len(wallets)))
    shuffler.shuffle(order)
    background = _background(wallets + CROWD)
    plain = _found(assess(_presence(wallets), background), wallets)
    shuffled = [wallets[number] for number in order]
    moved = _found(assess(_presence(shuffled), background), shuffled)
    assert {tuple(sorted((order[a], order[b]))): row for (a, b), row in moved.items()} == plain


def test_a_small_world_worked_out_by_hand() -> None:
    # 50 mints of equal popularity: λ = 3·3/50 = 0.18. Three pairs are tested, and two of them share nothing.
    wallets = [{0, 1, 2}, {0, 1, 2}, {3, 4, 5}, {0, 1}]
    result = assess(_presence(wallets), _uniform(50))
    p_value = 1 - math.exp(-0.18) * (1 + 0.18 + 0.18**2 / 2)
    nothing = {"expected": 0.18, "lift": 0.0, "p_value": 1.0, "q_value": 1.0}
    assert _found(result, wallets) == {
        (0, 1): pytest.approx({"expected": 0.18, "lift": 3 / 0.18, "p_value": p_value, "q_value": 3 * p_value}),
        (0, 2): pytest.approx(nothing),
        (1, 2): pytest.approx(nothing),
    }
    assert result.pairs_tested == 3
    assert _listed(result.significant()) == [(0, 1)]


def test_what_chance_explains_has_a_q_value_of_one_and_no_more() -> None:
    # λ = 3·3/12 = 0.75, so that one shared mint has p = 1 − exp(−0.75) = 0.53; three pairs times that would be 1.6.
    wallets = [{0, 1, 2}, {2, 3, 4}, {5, 6, 7}]
    row = _found(assess(_presence(wallets), _uniform(12)), wallets)[0, 1]
    assert row["p_value"] == pytest.approx(1 - math.exp(-0.75))
    assert row["q_value"] == 1.0


def test_a_wallet_includes_no_mint_with_more_than_certainty() -> None:
    # π is 40/80 for one mint and 4/80 for ten: with three mints 1 (not 1.5) and 0.15, with eight 1 and 0.4.
    background = Population(40, np.array([40] + [4] * 10))
    wanted = [[1 + 10 * 0.15**2, 1 + 10 * 0.15 * 0.4], [1 + 10 * 0.15 * 0.4, 1 + 10 * 0.4**2]]
    assert expected([3, 8], background) == pytest.approx(np.array(wanted))
    assert expected([], background).shape == (0, 0)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=80), st.lists(st.integers(3, 90), min_size=1, max_size=6))
def test_the_expected_mints_agree_with_the_reference(traded: list[int], sizes: list[int]) -> None:
    background = Population(40, np.array(traded))
    table = expected(sizes, background)
    assert (table == table.T).all()
    for (row, size_a), (column, size_b) in itertools.product(enumerate(sizes), repeat=2):
        wanted = _expected(size_a, size_b, background) if sum(traded) else 0.0
        assert table[row, column] == pytest.approx(wanted, rel=1e-12, abs=0)


def test_tiny_p_values_are_right_and_not_zero() -> None:
    wallets = [set(range(60)), set(range(60)), set(range(60, 63))]
    result = assess(_presence(wallets, 63), _uniform(7_200))
    p_value = _p_value(60, 60 * 60 / 7_200)
    assert 0 < p_value < 1e-90
    assert _found(result, wallets)[0, 1]["p_value"] == pytest.approx(p_value, rel=1e-9, abs=0)


def test_where_nothing_is_expected_there_is_no_lift() -> None:
    wallets = [{0, 1, 2}, {3, 4, 5}]
    values = assess(_presence(wallets), Population(30, np.zeros(MINTS, dtype=np.int64))).of_pairs([0], [1], [0])
    assert (values.expected[0], values.p_value[0], values.q_value[0]) == (0.0, 1.0, 1.0)
    assert math.isnan(values.lift[0])


def test_fewer_than_thirty_background_wallets_say_nothing() -> None:
    wallets = [{0, 1, 2}] * 3
    result = assess(_presence(wallets), _uniform(50, known=29))
    assert result.reason is not None
    assert "30" in result.reason
    assert "29" in result.reason
    assert result.pairs_tested == 0
    assert _found(result, wallets) == {}
    assert (len(result.significant()), result.significant().pairs_total) == (0, 0)
    assert assess(_presence(wallets), _uniform(50, known=30)).reason is None


@pytest.mark.parametrize("wallets", [[], [{0, 1, 2}], [{0, 1}, {0, 1, 2}], [{0, 1, 2}, {3, 4, 5}]])
def test_without_a_pair_that_shares_anything_nothing_is_significant(wallets: Wallets) -> None:
    result = assess(_presence(wallets), _uniform(50))
    assert result.reason is None
    assert (_listed(result.significant()), result.significant().cut) == ([], False)
    assert len(result.of_pairs([], [], []).q_value) == 0


def test_what_is_cut_comes_last_by_p_and_then_by_address() -> None:
    # Wallets 3 and 6 share five mints, all others the same three: 12 · 11 / 2 pairs and one that is better.
    wallets = [{0, 1, 2}] * 14
    wallets[3] = wallets[6] = {5, 6, 7, 8, 9}
    result = assess(_presence(wallets), _uniform(400))
    others = [(a, b) for a, b in itertools.combinations(range(14), 2) if not {a, b} & {3, 6}]
    whole, part = result.significant(67), result.significant(20)
    assert (_listed(whole), whole.pairs_total, whole.cut) == ([(3, 6), *others], 67, False)
    assert (_listed(part), part.pairs_total, part.cut) == ([(3, 6), *others[:19]], 67, True)
    assert _listed(result.significant(1)) == [(3, 6)]
    assert _listed(result.significant(0)) == []


def _traders(seed: int, count: int, mints: int = 50_000) -> Wallets:
    """Traders who know nothing of each other: 20 to 100 mints each, drawn by popularity (Zipf 1.1)."""
    numbers = np.random.default_rng(seed)
    popularity = np.arange(1, mints + 1) ** -1.1
    drawn = numbers.choice(mints, size=(count, 100), p=popularity / popularity.sum())
    sizes = numbers.integers(20, 101, count)
    return [set(row[:size].tolist()) for row, size in zip(drawn, sizes, strict=True)]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_independent_traders_are_hardly_ever_flagged_and_copies_always(seed: int) -> None:
    wallets = _traders(seed, 2_000)
    copies = [set(itertools.islice(wallets[number], 0, None, 2)) | wallets[number + 1] for number in range(0, 20, 2)]
    everybody = wallets + copies
    presence = _presence(everybody, 50_000)
    result = assess(presence, Population(len(everybody), np.asarray(presence.sum(axis=0), dtype=np.int64).ravel()))
    flagged = set(_listed(result.significant()))
    independent = [(a, b) for a, b in flagged if b < 2_000]
    assert len(independent) <= 0.005 * (2_000 * 1_999 / 2)
    assert {(number + 1, 2_000 + number // 2) for number in range(0, 20, 2)} <= flagged


@pytest.mark.parametrize(
    ("name", "value"), [("BLOCK_CELLS", 700), ("POPULAR_SHARE", 2.0), ("POPULAR_SHARE", 0.0), ("MOST_POPULAR", 2)]
)
def test_how_the_shared_mints_are_counted_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, name: str, value: Any
) -> None:
    wallets = _traders(4, 150, mints=400)
    presence, background = _presence(wallets, 400), _background(wallets, 400)
    plain = assess(presence, Population(150, np.append(background.traded, np.full(2_000, 150))))
    limit = plain.significant().pairs_total // 2
    assert limit > 100
    before = [_listed(plain.significant()), _listed(plain.significant(limit))]
    monkeypatch.setattr(chance, name, value)
    again = assess(presence, Population(150, np.append(background.traded, np.full(2_000, 150))))
    assert [_listed(again.significant()), _listed(again.significant(limit))] == before
    assert _found(again, wallets) == _found(plain, wallets)


def test_impossible_backgrounds_are_refused() -> None:
    for traded in ([-1, 3], [31, 3]):
        with pytest.raises(ValueError, match="background"):
            Population(30, np.array(traded))
    with pytest.raises(ValueError, match="lacks"):
        assess(_presence([{0, 1, 2}]), _uniform(MINTS - 1))
