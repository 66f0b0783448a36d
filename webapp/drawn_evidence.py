"""The rows of a pair's evidence, written by Python for the reason that drawn.py gives: tokens and matched trades."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from flask import Flask
from markupsafe import Markup, escape

from webapp.display import (
    UNKNOWN,
    explorer_transaction,
    gap,
    iso,
    moment,
    percent,
    short_address,
    sol,
    timestamp,
)
from webapp.drawn import bar, time

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


def register(app: Flask) -> None:
    """Give an app's templates what they need to make these their macros."""
    app.jinja_env.globals.update(Evidence=Evidence)
