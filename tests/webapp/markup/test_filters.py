"""Each filter says what it shows for ordinary values, for the edges of its ranges, and for what is unknown."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
from flask import Flask, render_template_string
from hypothesis import given
from hypothesis import strategies as st

from tasks.settings import read_settings
from webapp.markup import filters, icons, labels, logos
from webapp.markup import words as markup_words
from webapp.markup.labels import JOB_ICONS, JOB_KINDS

ADDRESS = "AdJU6t5KVtnjnkr3DK9U3NZHKnpjqKMVHwZXxGyspDnh"
TOKEN = {"mint": ADDRESS, "symbol": "NAPS", "name": "Nap Season", "image_url": None, "price_usd": None} | {
    "last_updated": None, "stale": False
}  # fmt: skip
TEMPLATES = Path(filters.__file__).parents[2] / "templates"
AT = datetime(2026, 3, 18, 14, 22, 5, tzinfo=UTC).timestamp()
N = "\u00a0"


def test_an_address_is_shortened_to_its_ends():
    assert filters.short_address(ADDRESS) == "AdJU…pDnh"
    assert filters.short_address("123456789") == "123456789"
    assert filters.short_address(None) == filters.short_address("") == "–"
    assert filters.last_four(ADDRESS) == "…pDnh"


def test_explorer_links_name_the_subject():
    assert filters.explorer_account(ADDRESS).endswith(f"/account/{ADDRESS}")
    assert filters.explorer_transaction("sig").endswith("/tx/sig")


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (float("nan"), "–"), (0, "0"), (14206, "14,206"), (-5, "−5")],
)
def test_counts(value, shown):
    assert filters.count(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (0, "0"),
        (8132.4, "8,132"),
        (147.42, "147.4"),
        (2.5, "2.50"),
        (Decimal("0.0421"), "0.042"),
        (0.00001234, "0.000012"),
        (1e-12, "0.000000000"),
        (-2.07, "−2.07"),
        (float("inf"), "–"),
    ],
)
def test_sol_has_the_digits_its_size_deserves(value, shown):
    assert filters.sol(value) == shown


def test_sol_can_be_signed_and_told_its_digits():
    assert filters.sol(18.42, signed=True) == "+18.42"
    assert filters.sol(-0.004, 2, signed=True) == "0.00"
    assert filters.sol(2.5, 3) == "2.500"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (0, "$0.00"),
        (0.00006741, "$0.0₄6741"),
        (0.002409, "$0.0₂2409"),
        (0.0494, "$0.0494"),
        (0.15181, "$0.1518"),
        (0.009999996, "$0.0100"),
        (0.0000999996, "$0.0₃1000"),
        (0.99999, "$1.0000"),
        (Decimal("1E-12"), "$0.0₁₁1000"),
        (12.345, "$12.35"),
        (12345.6, "$12,346"),
        (2_500_000, f"$2.50{N}m"),
        (3.2e9, f"$3.20{N}bn"),
        (-1.5, "−$1.50"),
    ],
)
def test_dollars_count_the_zeros_of_small_prices(value, shown):
    assert filters.usd(value) == shown


@given(st.floats(min_value=1e-15, max_value=0.0099))
def test_a_price_with_counted_zeros_reads_back_to_four_digits(price):
    digits = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
    shown = filters.usd(price)
    head = shown.removeprefix("$0.0")
    zeros = "".join(char for char in head if char in "₀₁₂₃₄₅₆₇₈₉")
    value = float(f"0.{'0' * int(zeros.translate(digits))}{head.removeprefix(zeros)}") if zeros else float(shown[1:])
    assert value == pytest.approx(price, rel=1e-3)


@pytest.mark.parametrize(
    ("ratio", "digits", "shown"),
    [
        (None, None, "–"),
        (0, None, f"0{N}%"),
        (0.063, None, f"6.3{N}%"),
        (0.87, None, f"87{N}%"),
        (0.1034, 1, f"10.3{N}%"),
        (0.0002, None, f"< 0.1{N}%"),
        (0.997, None, f"99{N}%"),
        (0.99999, 1, f"99.9{N}%"),
        (1, None, f"100{N}%"),
        (-0.05, None, f"−5.0{N}%"),
    ],
)
def test_percentages_say_all_and_nothing_only_when_it_is_so(ratio, digits, shown):
    assert filters.percent(ratio, digits) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "n/a"),
        (float("nan"), "n/a"),
        (0, "0.00"),
        (0.225, "0.23"),
        (0.994, "0.99"),
        (0.9999, "0.99"),
        (1 - 1e-12, "1.00"),
        (1.0000001, "1.00"),
        (-0.1, "0.00"),
    ],
)
def test_a_score_of_one_is_kept_for_what_is_the_same(value, shown):
    assert filters.score(value) == shown


def test_probabilities_and_factors():
    assert filters.probability(None) == filters.times(None) == "–"
    assert filters.probability(0.0004) == "< 0.001"
    assert filters.probability(0.0123) == "0.012"
    assert filters.times(7) == f"7.0{N}×"


def test_a_time_can_be_written_five_ways():
    assert filters.iso(AT) == "2026-03-18T14:22:05Z"
    assert filters.iso(AT + 0.25) == "2026-03-18T14:22:05.250Z"
    assert filters.timestamp(AT) == "18 March 2026, 14:22:05 UTC"
    assert filters.moment(AT) == "18 Mar 14:22:05"
    assert filters.clock(AT) == "14:22 UTC"
    assert filters.day(AT) == "18 March 2026"


def test_an_unknown_time_is_a_dash():
    assert filters.iso(None) is None
    for write in (filters.timestamp, filters.moment, filters.clock, filters.day, filters.age):
        assert write(None) == "–"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-60, "just now"),
        (4.9, "just now"),
        (12, f"12{N}s ago"),
        (59.9, f"59{N}s ago"),
        (60, f"1{N}min ago"),
        (7_300, f"2{N}h ago"),
        (86_400, "yesterday"),
        (3 * 86_400, "3 days ago"),
        (8 * 86_400, "18 March 2026"),
    ],
)
def test_ages(seconds, shown):
    assert filters.age(AT, now=AT + seconds) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "–"),
        (0, f"0{N}s"),
        (0.42, f"0.4{N}s"),
        (0.99, f"1{N}s"),
        (59.6, f"1{N}min"),
        (108, f"1{N}min 48{N}s"),
        (3_600, f"1{N}h"),
        (111_120, f"30{N}h 52{N}min"),
        (273_600, f"3{N}days 4{N}h"),
    ],
)
def test_durations_name_their_two_largest_units(seconds, shown):
    assert filters.duration(seconds) == shown


def test_gaps_carry_a_sign():
    shown = [filters.gap(value) for value in (None, 0, -6, 14)]
    assert shown == ["–", f"0{N}s", f"−6{N}s", f"+14{N}s"]


def test_a_monogram_is_of_the_symbol_or_else_of_the_mint():
    assert labels.monogram("$naps", ADDRESS) == "NA"
    assert labels.monogram("X", ADDRESS) == "X"
    assert labels.monogram("💀", ADDRESS) == labels.monogram(None, ADDRESS) == "AD"


@given(st.text())
def test_a_monogram_colour_is_one_of_six_and_stays(mint):
    assert 1 <= labels.monogram_colour(mint) <= 6
    assert labels.monogram_colour(mint) == labels.monogram_colour(mint)


def test_clusters_repeat_four_shapes_and_six_colours():
    assert [labels.cluster_shape(n) for n in (None, 1, 4, 5)] == ["none", "circle", "diamond", "circle"]
    assert [labels.cluster_colour(n) for n in (None, 1, 6, 7)] == [0, 1, 6, 1]


def test_what_an_insight_implies_is_not_shown_beside_it():
    slugs = ["very_high_similarity", "behavioural_mirror", "synchronised_trading", "sustained_alignment"]
    assert labels.visible_insights(slugs) == ["very_high_similarity", "synchronised_trading"]
    assert labels.visible_insights([]) == []


@pytest.fixture
def app() -> Flask:
    app = Flask("walletkin", template_folder=str(TEMPLATES))
    app.jinja_env.globals["csrf_token"] = lambda: "token"
    filters.register(app)
    logos.register(app, read_settings({}))
    return app


def rendered(app: Flask, file: str, call: str, **values) -> str:
    """Render the call of a macro of a file."""
    name = call.partition("(")[0]
    with app.test_request_context():
        return render_template_string(f'{{% from "macros/{file}.html" import {name} %}}{{{{ {call} }}}}', **values)


def test_the_sheet_draws_each_icon_once_and_only_by_shapes_that_it_carries():
    sheet = icons.sheet()
    for name in icons.SHEET_ICONS:
        assert sheet.count(f"--i-{name}:url(") == 1
        assert f".i-{name}{{--icon:var(--i-{name})}}" in sheet
    drawings = re.findall(r'url\("data:image/svg\+xml,([^"]*)"\)', sheet)
    assert len(drawings) == len(icons.SHEET_ICONS)
    for drawing in drawings:
        root = ElementTree.fromstring(unquote(drawing))
        assert root.get("viewBox") == "0 0 24 24"
        assert len(root) >= 1


def test_the_address_of_the_sheet_changes_with_what_is_in_it(app, monkeypatch):
    answer = app.test_client().get(f"/vendor/icons.css?v={icons.version()}")
    assert (answer.mimetype, answer.text) == ("text/css", icons.sheet())
    assert "immutable" in answer.headers["Cache-Control"]
    icons.version.cache_clear()
    monkeypatch.setattr(icons, "sheet", lambda: "other")
    assert icons.version() != app.jinja_env.globals["icons_version"]
    icons.version.cache_clear()


def test_every_icon_of_an_insight_or_a_job_is_in_the_sheet():
    named = {one.icon for one in labels.INSIGHTS.values()} | set(labels.JOB_ICONS.values())
    assert named <= set(icons.SHEET_ICONS)


def test_every_insight_has_an_icon_and_a_badge(app):
    for slug, insight in labels.INSIGHTS.items():
        html = rendered(app, "wallets", "insight_badge(slug)", slug=slug)
        assert insight.name in html
        assert f' i-{insight.icon}"' in html or f" i-{insight.icon} " in html


def test_icons_are_hidden_or_named(app):
    assert 'aria-hidden="true"' in rendered(app, "basics", 'icon("copy")')
    assert 'aria-label="Copy"' in rendered(app, "basics", 'icon("upload", label="Copy")')


def test_a_missing_score_is_named(app):
    html = rendered(app, "figures", 'meter(none, "capital", "Capital")')
    assert "Capital: not enough data" in html
    assert "n/a" in html


def test_a_meter_never_leaves_its_track(app):
    assert 'value="1.0"' in rendered(app, "figures", "meter(1.2)")


def test_labels_are_escaped_and_controls_are_siblings(app):
    html = rendered(
        app,
        "wallets",
        'wallet_badge(address, "<b>", "/w")',
        address=ADDRESS,
    )
    assert "<b>" not in html
    assert html.index("</a>") < html.index("<button")
    assert html.index("</button>") < html.rindex("<a ")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("pending", "resolving…"),
        ("unlisted", "No market found"),
        ("failed", "Lookup failed"),
        ("resolved", "Nap Season"),
    ],
)
def test_a_token_has_a_cell_in_every_state(app, status, words):
    token = TOKEN | {"status": status, "awaited": status == "pending"}
    assert words in rendered(app, "tokens", "token_cell(token)", token=token)


def test_a_mint_that_nobody_will_look_up_is_not_said_to_be_resolving(app):
    token = TOKEN | {"status": "pending", "awaited": False}
    assert "not looked up" in rendered(app, "tokens", "token_cell(token)", token=token)
    assert "no price" in rendered(app, "tokens", "token_price(token)", token=token)


def test_no_macro_writes_inline_style_or_script():
    for file in TEMPLATES.joinpath("macros").glob("*.html"):
        source = file.read_text()
        assert " style=" not in source, file.name
        assert "<script" not in source, file.name
        assert "hx-on" not in source, file.name


def test_a_share_that_is_everything_but_for_adding_floats_is_a_hundred_per_cent() -> None:
    assert filters.percent(0.9999999999999998) == filters.percent(1.0)
    assert filters.percent(0.9999) != filters.percent(1.0)


def test_a_reason_becomes_a_sentence() -> None:
    assert markup_words.sentence("the RPC service answered 429") == "The RPC service answered 429."
    assert markup_words.sentence("Done.") == "Done."
    assert markup_words.sentence("") == ""


def test_every_macro_and_filter_is_used() -> None:
    sources = {path: path.read_text() for path in TEMPLATES.rglob("*.html")}
    whole = re.sub(r"{#.*?#}|{%-? from .*?%}", "", "\n".join(sources.values()), flags=re.S)
    macros = {name for text in sources.values() for name in re.findall(r"{%-? macro (\w+)", text)}
    whole += (TEMPLATES.parent / "webapp/pages/tokens.py").read_text()  # which answers polls with a macro
    unused = {name for name in macros if not re.search(rf"(?<!macro ){name}[(\"]", whole)}
    names = [one.__name__ for one in filters.FILTERS]
    unused |= {name for name in names if not re.search(rf"\|\s*{name}\b", whole)}
    assert unused == set()


def test_a_kind_of_job_has_words_or_keeps_its_name() -> None:
    assert labels.job_kind("sync") == "Read a wallet"
    assert labels.job_kind("novelty") == "novelty"
    assert labels.job_icon("refresh") == "refresh-cw"
    assert labels.job_icon("novelty") == "loader"
    assert set(JOB_ICONS) == set(JOB_KINDS)


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ((70, 66, 3, 1), "70 looked up: 66 found, 3 without a market, 1 failed"),
        ((1_200, 1_200, 0, 0), "1,200 looked up, all found"),
        ((2, 0, 0, 2), "2 looked up: 2 failed"),
        ((0, 0, 0, 0), "0 looked up"),
    ],
)
def test_what_came_of_asking_is_said_in_words(counts: tuple[int, ...], words: str) -> None:
    keys = ("asked", "resolved", "unlisted", "failed")
    assert markup_words.outcome(dict(zip(keys, counts, strict=True))) == words


def test_a_strangers_words_are_one_line_without_tricks() -> None:
    assert markup_words.plain_text(" Nap\n\u200b Season\u202e ") == "Nap Season"
    assert markup_words.plain_text(None) == markup_words.plain_text("\u200d\u2066") == ""
    assert markup_words.plain_text("x" * 10_000) == "x" * 79 + "…"
    assert markup_words.plain_text("abcdefgh", 4) == "abc…"
