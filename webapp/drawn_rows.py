"""The rows that a page has fifty of, written by Python for the reason that drawn.py gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask import Flask
from markupsafe import Markup, escape

from webapp.display import NBSP, UNKNOWN, count, score, short_address, sol, times
from webapp.drawn import score_button, time

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
