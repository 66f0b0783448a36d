"""Insights: every rule against section 7 read pair by pair, and what the sentences say and do not say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from tasks.measures.insights import (
    COLUMNS,
    RULES,
    aligned_days,
    counter_evidence,
    flags,
    names,
    sentence,
    zero_holdings,
)
from webapp.markup.labels import INSIGHTS

SLUGS = [
    "very_high_similarity",
    "behavioural_mirror",
    "leader_and_follower",
    "synchronised_trading",
    "sustained_alignment",
    "capital_divergence",
    "significant_asymmetry",
    "shared_zero_holdings",
]
NAN = float("nan")
SCORE = st.sampled_from([None, 0.0, 0.1, 0.2, 0.29, 0.3, 0.59, 0.6, 0.7, 0.79, 0.8, 0.84, 0.85, 1.0])
DRAWN = {
    "behavioural": SCORE,
    "capital": SCORE,
    "overall": st.sampled_from([None, 0.0, 0.09, 0.1, 0.9]),
    "coverage_a": SCORE,
    "coverage_b": SCORE,
    "shared": st.integers(0, 4),
    "matched": st.sampled_from([None, 0, 2, 3, 4, 5, 9]),
    "matched_mints": st.sampled_from([None, 0, 1, 2, 3]),
    "lead_share": SCORE,
    "median_lag_s": st.sampled_from([None, -30.0, -1.0, -0.5, 0.0, 0.5, 1.0, 40.0]),
    "timing_p_value": st.sampled_from([None, 0.0, 1e-9, 0.000999, 0.001, 0.5]),
    "aligned_days": st.sampled_from([None, 0, 2, 3, 8]),
    "zero_holdings": st.booleans(),
}


def _at_least(value: float | None, least: float) -> bool:
    return value is not None and value >= least


def _below(value: float | None, limit: float) -> bool:
    return value is not None and value < limit


def _reference(pair: dict[str, Any]) -> list[str]:
    """Section 7, row by row."""
    behavioural, capital = pair["behavioural"], pair["capital"]
    a, b = pair["coverage_a"], pair["coverage_b"]
    lag, unlikely = pair["median_lag_s"], _below(pair["timing_p_value"], 0.001)
    asymmetric = a is not None and b is not None and ((a >= 0.7 and b <= 0.2) or (b >= 0.7 and a <= 0.2))
    leads = _at_least(pair["matched"], 5) and _at_least(pair["lead_share"], 0.8) and lag is not None and abs(lag) >= 1
    held = [
        _at_least(behavioural, 0.85) and _at_least(capital, 0.8),
        _at_least(behavioural, 0.85) and _at_least(capital, 0.6),
        leads and unlikely,
        _at_least(pair["matched"], 3) and _at_least(pair["matched_mints"], 2) and unlikely,
        _at_least(behavioural, 0.6) and _at_least(capital, 0.6) and _at_least(pair["aligned_days"], 3),
        _at_least(behavioural, 0.85) and _below(capital, 0.3),
        asymmetric and _at_least(pair["overall"], 0.1),
        _at_least(behavioural, 0.6) and pair["shared"] >= 3 and pair["zero_holdings"],
    ]
    return [slug for slug, holds in zip(SLUGS, held, strict=True) if holds]


def _named(pairs: list[dict[str, Any]]) -> list[list[str]]:
    columns = {name: [NAN if pair[name] is None else pair[name] for pair in pairs] for name in COLUMNS}
    found = flags(columns)
    assert found.dtype == np.uint16
    return [names(bits) for bits in found]


@given(st.lists(st.fixed_dictionaries(DRAWN), max_size=12))
def test_every_rule_holds_exactly_where_the_page_says(pairs: list[dict[str, Any]]) -> None:
    assert _named(pairs) == [_reference(pair) for pair in pairs]


def _plain(**changed: Any) -> dict[str, Any]:
    """A pair just above every threshold that can be above together; a change makes another."""
    pair = {"behavioural": 0.85, "capital": 0.8, "overall": 0.82, "coverage_a": 0.9, "coverage_b": 0.9, "shared": 12}
    pair |= {"matched": 5, "matched_mints": 2, "lead_share": 0.8, "median_lag_s": 1.0, "timing_p_value": 0.0009}
    pair |= {"aligned_days": 3, "zero_holdings": True}
    return pair | changed


ALL_BUT = [slug for slug in SLUGS if slug not in ("capital_divergence", "significant_asymmetry")]


@pytest.mark.parametrize(
    ("changed", "lost"),
    [
        ({}, set()),
        ({"capital": 0.7999}, {"very_high_similarity"}),
        ({"behavioural": 0.8499}, {"very_high_similarity", "behavioural_mirror"}),
        ({"matched": 4}, {"leader_and_follower"}),
        ({"matched": 2}, {"leader_and_follower", "synchronised_trading"}),
        ({"lead_share": 0.7999}, {"leader_and_follower"}),
        ({"median_lag_s": -0.99}, {"leader_and_follower"}),
        ({"median_lag_s": -1.0}, set()),
        ({"matched_mints": 1}, {"synchronised_trading"}),
        ({"timing_p_value": 0.001}, {"leader_and_follower", "synchronised_trading"}),
        ({"aligned_days": 2}, {"sustained_alignment"}),
        ({"shared": 2}, {"shared_zero_holdings"}),
        ({"zero_holdings": False}, {"shared_zero_holdings"}),
        ({"behavioural": None}, {*ALL_BUT} - {"leader_and_follower", "synchronised_trading"}),
        ({"capital": None}, {"very_high_similarity", "behavioural_mirror", "sustained_alignment"}),
        ({"timing_p_value": None}, {"leader_and_follower", "synchronised_trading"}),
    ],
)
def test_each_threshold_decides(changed: dict[str, Any], lost: set[str]) -> None:
    assert _named([_plain(**changed)]) == [[slug for slug in ALL_BUT if slug not in lost]]


@pytest.mark.parametrize(
    ("changed", "holds"),
    [
        ({"coverage_a": 0.7, "coverage_b": 0.2, "overall": 0.1}, True),
        ({"coverage_a": 0.2, "coverage_b": 0.7, "overall": 0.1}, True),
        ({"coverage_a": 0.7, "coverage_b": 0.21, "overall": 0.1}, False),
        ({"coverage_a": 0.69, "coverage_b": 0.2, "overall": 0.1}, False),
        ({"coverage_a": 0.7, "coverage_b": 0.2, "overall": 0.099}, False),
        ({"coverage_a": 0.7, "coverage_b": None}, False),
    ],
)
def test_asymmetry_is_the_same_either_way(changed: dict[str, Any], holds: bool) -> None:
    assert ("significant_asymmetry" in _named([_plain(**changed)])[0]) is holds


def test_capital_divergence_needs_less_than_its_threshold() -> None:
    assert "capital_divergence" in _named([_plain(capital=0.2999)])[0]
    assert "capital_divergence" not in _named([_plain(capital=0.3)])[0]


def test_rounding_error_misses_no_threshold() -> None:
    below = float(np.nextafter(0.85, 0))
    assert below < 0.85
    assert "very_high_similarity" in _named([_plain(behavioural=below)])[0]
    assert "capital_divergence" not in _named([_plain(capital=float(np.nextafter(0.3, 0)))])[0]


def test_what_is_wholly_unknown_fulfils_nothing() -> None:
    assert _named([dict.fromkeys(COLUMNS) | {"zero_holdings": False, "shared": 0}]) == [[]]


def test_a_column_that_is_missing_is_an_error_and_not_unknown() -> None:
    with pytest.raises(KeyError, match="aligned_days"):
        flags({name: [1.0] for name in COLUMNS if name != "aligned_days"})


def test_the_table_has_the_names_order_and_icons_that_the_pages_draw() -> None:
    assert [rule.slug for rule in RULES] == SLUGS == list(INSIGHTS)
    for rule in RULES:
        assert (rule.name, rule.icon) == (INSIGHTS[rule.slug].name, INSIGHTS[rule.slug].icon)


BUY = st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(20000, 20004))


@given(st.lists(BUY, max_size=40), st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12))
def test_aligned_days_agree_with_looking_at_every_day(buys: list[Any], pairs: list[tuple[int, int]]) -> None:
    """A wallet of the pair may have bought nothing at all."""
    bought = set(buys)
    wanted = [
        sum(any({(a, mint, day), (b, mint, day)} <= bought for mint in range(4)) for day in range(20000, 20005))
        for a, b in pairs
        if a != b
    ]
    columns = zip(*buys, strict=True) if buys else [[], [], []]
    asked = [pair for pair in pairs if pair[0] != pair[1]]
    a, b = ([pair[side] for pair in asked] for side in (0, 1))
    assert aligned_days(*columns, a, b).tolist() == wanted


def test_two_tokens_on_one_day_are_one_day_and_different_tokens_are_none() -> None:
    """On day 1 both buy 7 and 8, on day 2 the one 7 and the other 8, on day 3 both 8, the one twice."""
    first = [(0, 7, 1), (0, 8, 1), (0, 7, 2), (0, 8, 3), (0, 8, 3)]
    second = [(1, 7, 1), (1, 8, 1), (1, 8, 2), (1, 8, 3)]
    assert aligned_days(*zip(*first, *second, strict=True), [0], [1]).tolist() == [2]


def test_many_pairs_are_counted_in_parts_without_a_seam() -> None:
    """More pairs than fit in one part; every third wallet buys the one token every day."""
    wallets = np.arange(0, 300, 3)
    wallet, day = np.repeat(wallets, 4), np.tile(np.arange(4), 100)
    a, b = np.divmod(np.arange(300 * 299), 300)
    found = aligned_days(wallet, np.zeros(400, dtype=int), day, a, b)
    assert np.array_equal(found, np.where((a % 3 == 0) & (b % 3 == 0), 4, 0))


def _matrix(sets: list[set[int]]) -> csr_matrix:
    cells = [(wallet, mint) for wallet, mints in enumerate(sets) for mint in sorted(mints)]
    return csr_matrix((np.ones(len(cells)), tuple(zip(*cells, strict=True)) or ([], [])), shape=(len(sets), 6))


@given(st.lists(st.tuples(st.sets(st.integers(0, 5)), st.none() | st.sets(st.integers(0, 5))), min_size=2, max_size=6))
def test_zero_holdings_agree_with_looking_at_every_shared_mint(world: list[Any]) -> None:
    pairs = [(a, b) for a in range(len(world)) for b in range(a + 1, len(world))]
    shared = [world[a][0] & world[b][0] for a, b in pairs]
    wanted = [
        world[a][1] is not None and world[b][1] is not None and len(s) >= 3 and not s & (world[a][1] | world[b][1])
        for (a, b), s in zip(pairs, shared, strict=True)
    ]
    presence, holdings = _matrix([traded for traded, _ in world]), _matrix([held or set() for _, held in world])
    a, b = (np.array([pair[side] for pair in pairs]) for side in (0, 1))
    known = np.array([held is not None for _, held in world])
    counts = np.array([len(both) for both in shared])
    assert zero_holdings(presence, holdings, known, a, b, counts).tolist() == wanted


@pytest.mark.parametrize(("held_a", "held_b", "zero"), [({5}, {4}, True), ({1}, set(), False), (set(), {2}, False)])
def test_one_shared_mint_held_by_either_is_not_zero(held_a: set[int], held_b: set[int], zero: bool) -> None:
    presence, holdings = _matrix([{0, 1, 2, 5}, {0, 1, 2, 4}]), _matrix([held_a, held_b])
    first, second, shared = np.array([0]), np.array([1]), np.array([3])
    assert zero_holdings(presence, holdings, np.ones(2, dtype=bool), first, second, shared).tolist() == [zero]


PAIR: dict[str, Any] = {
    "name_a": "Ann",
    "name_b": "Ben",
    "mints_a": 13,
    "mints_b": 1214,
    "shared": 12,
    "behavioural": 0.8888,
    "capital": 0.996,
    "overall": 0.93,
    "coverage_a": 0.95,
    "coverage_b": 0.0625,
    "expected": 2.14,
    "q_value": 1e-9,
    "matched": 9,
    "matched_mints": 4,
    "median_lag_s": 14.0,
    "leader": 1,
    "lead_share": 8 / 9,
    "timing_p_value": 0.0000012,
    "timing_window_s": 60,
    "aligned_days": 5,
}


def _sentence(slug: str, **changed: Any) -> str:
    return sentence(slug, PAIR | changed).replace("\u00a0", " ")


@pytest.mark.parametrize(
    ("slug", "expected"),
    [
        (
            "very_high_similarity",
            "Ann and Ben share 12 tokens of the 13 and 1,214 they traded, and put their capital into them in similar "
            "proportions (behavioural 0.89, capital 0.99).",
        ),
        (
            "behavioural_mirror",
            "Ann and Ben share 12 tokens of the 13 and 1,214 they traded (behavioural 0.89, capital 0.99).",
        ),
        (
            "leader_and_follower",
            "Ann was first in 8 of 9 matched trades (89 %), and Ben typically followed 14 s later; chance would almost "
            "never produce this many (p < 0.001).",
        ),
        (
            "synchronised_trading",
            "Ann and Ben made 9 matched trades on 4 tokens, each within 1 min of the other's; chance would almost "
            "never produce this many (p < 0.001).",
        ),
        (
            "sustained_alignment",
            "Ann and Ben both bought the same token on 5 days (UTC), and share 12 tokens (behavioural 0.89, "
            "capital 0.99).",
        ),
        (
            "capital_divergence",
            "Ann and Ben share 12 tokens of the 13 and 1,214 they traded, but put their capital into them in different "
            "proportions (behavioural 0.89, capital 0.99).",
        ),
        (
            "significant_asymmetry",
            "The 12 shared tokens took 95 % of Ann's capital, but 6.2 % of Ben's (overall 0.93).",
        ),
        (
            "shared_zero_holdings",
            "Ann and Ben share 12 tokens (behavioural 0.89), and neither held any of them when analysed.",
        ),
    ],
)
def test_every_insight_is_a_sentence_with_its_numbers(slug: str, expected: str) -> None:
    assert _sentence(slug) == expected


def test_wallets_with_the_same_tokens_are_named_so() -> None:
    assert _sentence("behavioural_mirror", mints_a=12, mints_b=12).startswith("Ann and Ben traded the same 12 tokens (")


def test_the_leader_may_be_the_second_wallet() -> None:
    text = _sentence("leader_and_follower", leader=2, median_lag_s=-90.5)
    assert text.startswith(
        "Ben was first in 8 of 9 matched trades (89 %), and Ann typically followed 1 min 30.5 s later"
    )


def test_the_larger_coverage_comes_first() -> None:
    text = _sentence("significant_asymmetry", coverage_a=0.0004, coverage_b=0.999, shared=1)
    assert text == "The 1 shared token took 99 % of Ben's capital, but less than 0.1 % of Ann's (overall 0.93)."


@pytest.mark.parametrize("slug", SLUGS)
def test_no_sentence_concludes(slug: str) -> None:
    text = " ".join([sentence(slug, PAIR), *counter_evidence(PAIR)]).lower()
    for word in ("coordinat", "collu", "same owner", "same person", "sybil", "insider", "suspicious", "copied"):
        assert word not in text


def test_an_unknown_insight_is_an_error() -> None:
    with pytest.raises(KeyError):
        sentence("coordinated", PAIR)


def _against(**changed: Any) -> list[str]:
    return [text.replace("\u00a0", " ") for text in counter_evidence(PAIR | changed)]


def test_counter_evidence_has_numbers() -> None:
    assert _against() == [
        "Ann traded 1 token that Ben did not, and Ben 1,202 that Ann did not.",
        "5.0 % of Ann's capital and 94 % of Ben's went into tokens that they do not share.",
    ]


def test_wallets_that_share_everything_have_no_counter_evidence() -> None:
    alike = {"mints_a": 12, "mints_b": 12, "coverage_a": 1.0, "coverage_b": 1 - 1e-15}
    assert _against(**alike) == [], "beyond chance is evidence for a link"


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"mints_a": 12, "mints_b": 14}, "Ben traded 2 tokens that Ann did not."),
        ({"mints_b": 12}, "Ann traded 1 token that Ben did not."),
        ({"coverage_b": 1.0}, "5.0 % of Ann's capital and 0 % of Ben's went into tokens that they do not share."),
        ({"coverage_a": None}, "There is not enough data to compare their capital."),
        ({"expected": NAN}, "There is not enough data to say how many tokens they would share by chance."),
        (
            {"q_value": 0.01},
            "Two wallets with this many tokens would share 2.1 tokens by chance; these share 12, which chance may "
            "explain (q 0.010).",
        ),
        (
            {"expected": 0.02, "q_value": None},
            "Two wallets with this many tokens would share less than 0.1 tokens by chance; these share 12; "
            "whether chance explains this is unknown.",
        ),
        ({"matched": 0}, "Neither bought or sold a shared token within 1 min of the other doing so."),
        (
            {"timing_p_value": NAN},
            "There is not enough data to say whether chance explains the 9 matched trades.",
        ),
        ({"timing_p_value": 0.001, "matched": 1}, "Chance may explain the 1 matched trade (p 0.001)."),
        ({"lead_share": 7 / 9}, "Neither was first in at least 80 % of the matched trades."),
        ({"lead_share": None, "leader": 0}, "Neither was first in at least 80 % of the matched trades."),
    ],
)
def test_counter_evidence(changed: dict[str, Any], sentence: str) -> None:
    assert sentence in _against(**changed)
    assert sentence not in _against()


def test_timing_that_was_not_measured_is_not_mentioned() -> None:
    assert _against(matched=None) == _against()
    without = {name: value for name, value in PAIR.items() if not name.startswith(("matched", "lead", "timing"))}
    assert [text.replace("\u00a0", " ") for text in counter_evidence(without)] == _against()


# What differs from all or nothing by rounding error alone counts as that.
@given(st.sampled_from([0.0, 1.0]) | st.floats(1e-10, 1 - 1e-10))
def test_only_all_is_a_hundred_per_cent_and_only_nothing_is_none(coverage: float) -> None:
    text = _sentence("significant_asymmetry", coverage_a=coverage, coverage_b=0.5)
    assert ("100 %" in text) is (coverage == 1)
    assert (" 0 %" in text) is (coverage == 0)
