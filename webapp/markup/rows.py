"""The rows that a page has fifty of, written by Python for the reason that drawn.py gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from flask import Flask
from markupsafe import Markup, escape

from webapp.markup.components import bar, score_button, time
from webapp.markup.filters import (
    NBSP,
    UNKNOWN,
    count,
    explorer_transaction,
    gap,
    iso,
    moment,
    percent,
    score,
    short_address,
    sol,
    times,
    timestamp,
)

Row = Mapping[str, Any]
UNITS = {"SOL": 1e9}
CENTS = 1e6
"""How many of the smallest unit make one: of SOL, and of the dollars that everything else is."""
LEAST_WITH_THREE_DIGITS = 0.001


def quote(name: str, amount: int) -> Markup:
    """Give what was paid: the amount, in the smallest unit, and what it is of."""
    return Markup(f"{sol(amount / UNITS.get(name, CENTS), None if name == 'SOL' else 2)} {escape(name)}")


def _value(value: float | None) -> str:
    """Write a value in SOL to three digits, below them as small as it is."""
    exact = value is not None and 0 < value < LEAST_WITH_THREE_DIGITS
    return sol(value) if value is None or exact or value < 0 else sol(value, 3)


def _figure(pair: Row, sort: str) -> str:
    """Write the third figure of a pair: what the list is sorted by, else `overall`."""
    value = pair[sort]
    if sort == "matched":
        return "n/a" if value is None else count(value)
    if sort == "lift":
        return "n/a" if value is None else times(value)
    return score(value)


class Rows:
    """Rows, made of the parts that the macros of these names give."""

    def __init__(
        self,
        tag: Callable[..., Markup],
        badge: Callable[..., Markup],
        insight_badges: Callable[[tuple[str, ...], bool], Markup],
    ) -> None:
        self._tag, self._badge, self._insights = tag, badge, insight_badges

    def pair_row(
        self,
        pair: Row,
        sort: str = "overall",
        place: int | None = None,
        total: int | None = None,
        edges: bool = False,
        pending: bool = False,
    ) -> Markup:
        """Give the `<li>` of a pair; opened, htmx puts the evidence into it.

        `place` of `total` is where it stands in the list, `edges` marks those that hold a cluster together, `pending`
        says that insights are still to come: a provisional result has none.
        """
        url = escape(pair["url"])
        name = f"pair-{pair['a']['position']}-{pair['b']['position']}"
        stands = f' aria-posinset="{place}" aria-setsize="{total}"' if place else ""
        scores = [
            score_button(pair[kind], kind, kind.capitalize(), pair["url"], f"pair-{kind}")
            for kind in ("behavioural", "capital")
        ]
        return Markup(
            f'<li class="pair" id="{name}"{stands}>\n{self._wallet(pair, "a")}{self._wallet(pair, "b")}'
            f'{scores[0]}{scores[1]}\n<details class="pair-details" id="{name}-details">'
            f"{self._summary(pair, sort, edges, pending)}\n"
            f'<div class="pair-panel" hx-get="{url}" hx-trigger="toggle from:closest details once" '
            f'hx-select=".evidence"><a class="pair-open" href="{url}">Open the pair</a></div></details></li>'
        )

    def _wallet(self, pair: Row, side: str) -> Markup:
        one = pair[side]
        return self._badge(one["address"], one["label"], one["url"], one["cluster"], where=f"pair-{side}")

    def _summary(self, pair: Row, sort: str, edges: bool, pending: bool) -> str:
        shown = sort if sort in ("overlap", "lift", "matched") else "overall"
        unknown = " unknown" if pair[shown] is None else ""
        edge = f" {self._tag('edge')}" if edges and pair["cluster_edge"] else ""
        a, b = (escape(one["label"] or short_address(one["address"])) for one in (pair["a"], pair["b"]))
        shared = f"{count(pair['shared'])}{NBSP}shared token{'' if pair['shared'] == 1 else 's'}"
        return (
            '<summary><svg class="icon i-chevron-right chevron" width="16" height="16" role="img" '
            f'aria-label="Evidence for {a} and {b}, {shared}:"></svg>'
            f'<span class="pair-overall pair-by-{shown}{unknown}">{_figure(pair, shown)}</span>'
            f'<span class="pair-insight">{self._insights(tuple(pair["insights"]), pending)}{edge}</span></summary>'
        )


class Movements:
    """The rows of the capital audit, made likewise."""

    def __init__(
        self,
        icon: Callable[..., Markup],
        tag: Callable[..., Markup],
        explorer_tx: Callable[[str], Markup],
        token_place: Callable[[Row], Markup],
    ) -> None:
        self._icon, self._tag, self._explorer_tx, self._token_place = icon, tag, explorer_tx, token_place

    def audit_row(self, row: Row) -> Markup:
        """Give the `<tr>` of a movement of the capital audit; `row` is that of `shapes.audit_row` with its token."""
        counted, rate = row["counted"], row["sol_usd"]
        left_out = "" if counted else ' class="is-left-out"'
        paid = row["quote"] and row["quote_amount"] is not None
        return Markup(
            f'<tr{left_out}><td class="nowrap">{time(row["time"], "moment")}</td>'
            f"<td>{row['side'] or UNKNOWN}</td><td>{self._token_place(row['token']) if row['mint'] else UNKNOWN}</td>\n"
            f'<td class="num">{quote(row["quote"], row["quote_amount"]) if paid else UNKNOWN}</td>'
            f'<td class="num">{UNKNOWN if rate is None else f"{rate:.1f}"}</td>'
            f'<td class="num{" strong" if counted else ""}">{_value(row["value_sol"])}</td>\n'
            f'<td>{self._outcome(row)}</td><td class="num">{self._explorer_tx(row["signature"])}</td></tr>'
        )

    def _outcome(self, row: Row) -> str:
        if not row["counted"]:
            return self._tag(row["reason"], icon_name="minus")
        split = '<span class="note">value split between tokens</span>' if row["approximate"] else ""
        return f'<span class="counted">{self._icon("check", 14)}counted</span>{split}'


def register(app: Flask) -> None:
    """Give an app's templates what they need to make these their macros."""
    app.jinja_env.globals.update(Rows=Rows, Movements=Movements, drawn_quote=quote)


Row = Mapping[str, Any]
LEAST_SCALE = 1e-9
"""A bar needs a scale above zero, also where no token adds anything."""


def _time_after(first: float | None, second: float | None) -> Markup:
    """Give the second of two times, without its day where that is the first one's."""
    if first is None or second is None:
        return time(second, "moment")
    day, clock = moment(second).rsplit(" ", 1)
    if day != moment(first).rsplit(" ", 1)[0]:
        return time(second, "moment")
    return Markup(f'<time datetime="{iso(second)}" title="{timestamp(second)}">{clock}</time>')


def _listed(name: str, signatures: Iterable[str]) -> str:
    # Hundreds of them fold away in a page: no icon and no words that the list does not say once for all of them.
    return "".join(
        f'<li>{name} <a class="mono" href="{escape(explorer_transaction(one))}" target="_blank" '
        f'rel="noopener noreferrer">{escape(short_address(one))}</a></li>'
        for one in signatures
    )


class Evidence:
    """Rows, made of the parts that the macros of these names give."""

    def __init__(
        self,
        icon: Callable[..., Markup],
        explorer_tx: Callable[[str], Markup],
        token_place: Callable[[Row], Markup],
        token_price: Callable[[Row], Markup],
    ) -> None:
        self._icon, self._explorer_tx = icon, explorer_tx
        self._token_place, self._token_price = token_place, token_price

    def token_row(self, row: Row, sort: str, largest: float) -> Markup:
        """Give the `<tr>` of a shared token; `sort` is the score that its bar is of, full at `largest`."""
        return Markup(
            f'<tr><th scope="row">{self._token_place(row["token"])}</th>\n<td>{_part(row, sort, largest)}</td>\n'
            f'<td class="num">{percent(row["weight_a"], 1)}</td><td class="num">{percent(row["weight_b"], 1)}</td>'
            f'<td class="num">{sol(row["spent_sol_a"])}</td><td class="num">{sol(row["spent_sol_b"])}</td>\n'
            f'<td class="nowrap first-buy">{time(row["first_buy_a"], "moment")}</td>'
            f'<td class="nowrap">{_time_after(row["first_buy_a"], row["first_buy_b"])}</td>\n'
            f'<td class="num">{gap(row["gap_s"])}</td><td class="num">{self._token_price(row["token"])}</td>\n'
            f'<td class="num">{self._proof(row["signatures_a"] or (), row["signatures_b"] or ())}</td></tr>'
        )

    def match_row(self, row: Row) -> Markup:
        """Give the `<tr>` of two matched trades."""
        return Markup(
            f'<tr><th scope="row">{self._token_place(row["token"])}</th><td>{row["side"]}</td>\n'
            f'<td class="nowrap">{time(row["time_a"], "moment")}</td>'
            f'<td class="nowrap">{time(row["time_b"], "moment")}</td>\n<td class="num">{gap(row["lag_s"])}</td>'
            f'<td class="num">{self._explorer_tx(row["signature_a"])}</td>'
            f'<td class="num">{self._explorer_tx(row["signature_b"])}</td></tr>'
        )

    def _proof(self, of_a: list[str], of_b: list[str]) -> str:
        """Give the first transaction of either wallet, and all of them folded away."""
        number = len(of_a) + len(of_b)
        if not number:
            return f'<span class="unknown">{UNKNOWN}</span>'
        firsts = " ".join(self._first(name, ones[0]) for name, ones in (("A", of_a), ("B", of_b)) if ones)
        return (
            f'{firsts} <details class="proof"><summary class="link-button"><span class="visually-hidden">'
            f"All transactions, in the explorer: </span>{number}{self._icon('chevron-down', 12)}</summary>"
            f"<ul>{_listed('A', of_a)}{_listed('B', of_b)}</ul></details>"
        )

    def _first(self, name: str, signature: str) -> str:
        return (
            f'<a class="explorer proof-first" href="{escape(explorer_transaction(signature))}" target="_blank" '
            f'rel="noopener noreferrer" title="{escape(signature)}">{name}{self._icon("external-link", 12)}'
            f'<span class="visually-hidden">, first transaction {escape(short_address(signature))} (opens the explorer)'
            "</span></a>"
        )


def _part(row: Row, sort: str, largest: float) -> Markup:
    """Give what a token adds to a score as a bar."""
    part = row[f"contribution_{sort}"]
    if part is None:
        return Markup(f'<span class="unknown">{UNKNOWN}</span>')
    kind = "capital" if sort == "capital" else "ink"
    return bar(part, max(largest, LEAST_SCALE), f"To {sort}", text=f"{part:.3f}", kind=kind)


def register_evidence(app: Flask) -> None:
    """Give an app's templates what they need to make these their macros."""
    app.jinja_env.globals.update(Evidence=Evidence)
