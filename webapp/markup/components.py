"""What a page shows hundreds of times, written by Python: a macro costs twenty times as much for the same markup.

The macros of the same names in templates/macros are these functions; what little of it repeats is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from flask import Flask
from markupsafe import Markup, escape

from webapp.markup.filters import (
    UNKNOWN,
    age,
    clamp,
    clock,
    count,
    day,
    explorer_account,
    explorer_transaction,
    iso,
    last_four,
    moment,
    score,
    short_address,
    timestamp,
)
from webapp.markup.labels import cluster_colour, cluster_shape

MOST_KEPT = 1_024
TIMES: dict[str, Callable[[float | None], str]] = {"clock": clock, "moment": moment, "day": day, "full": timestamp}


def kept(macro: Callable[..., Markup]) -> Callable[..., Markup]:
    """Let a macro whose markup depends on its arguments alone, of few values, render each of them once."""
    return lru_cache(MOST_KEPT)(macro)


def time(at: float | None, mode: str = "relative") -> Markup:
    """Give a `<time>`; `mode` is "relative", "clock", "moment", "day" or "full", `at` in seconds since 1970."""
    if at is None:
        return Markup(f'<span class="unknown">{UNKNOWN}</span>')
    shown, relative = TIMES.get(mode, age)(at), " data-relative" if mode == "relative" else ""
    return Markup(f'<time datetime="{iso(at)}" title="{timestamp(at)}"{relative}>{shown}</time>')


def meter(value: float | None, kind: str = "overall", label: str = "Overall", size: str = "") -> Markup:
    """Give a score from 0 to 1 as a bar with its figure; None is hatched, "n/a", and named "not enough data"."""
    style = f"meter meter-{kind}{f' meter-{size}' if size else ''}"
    if value is None:
        return Markup(
            f'<span class="{style} meter-none" role="img" aria-label="{escape(label)}: not enough data">'
            '<span class="hatched"></span><span class="figure">n/a</span></span>'
        )
    text = score(value)
    return Markup(
        f'<span class="{style}"><progress class="notched" max="1" value="{clamp(value)}" aria-label="{escape(label)}" '
        f'aria-valuetext="{text}"></progress><span class="figure" aria-hidden="true">{text}</span></span>'
    )


def bar(
    value: float | None, most: float | None, label: str, text: str | None = None, kind: str = "ink", size: str = "small"
) -> Markup:
    """Give a number as a bar that is full at `most`, with its figure: `text`, else the number as a count."""
    shown = escape(count(value) if text is None else text)  # type: ignore[arg-type]
    return Markup(
        f'<span class="meter meter-{kind}{f" meter-{size}" if size else ""}"><progress max="{most or 1}" '
        f'value="{value or 0}" aria-label="{escape(label)}" aria-valuetext="{shown}"></progress>'
        f'<span class="figure" aria-hidden="true">{shown}</span></span>'
    )


def score_button(value: float | None, kind: str, label: str, href: str, where: str = "") -> Markup:
    """Give a score as a meter that leads to the tokens it is made of; pairs.js makes it show them in place.

    None leads nowhere. `where` is a class for its place in a row.
    """
    if value is None:
        return Markup(f'<span class="{where}">{meter(None, kind, label)}</span>')
    text = score(value)
    return Markup(
        f'<a class="{where} score-button meter meter-{kind}" href="{escape(href)}?sort={kind}#tokens" '
        f'data-score="{kind}" aria-label="{escape(label)} {text}, by token"><progress class="notched" max="1" '
        f'value="{clamp(value):.4g}" aria-hidden="true"></progress><span class="figure">{text}</span></a>'
    )


@lru_cache(MOST_KEPT)
def shape(cluster: int | None) -> Markup:
    """Give a cluster's shape and colour, a hollow circle for None; named for assistive technology."""
    name = "no cluster" if cluster is None else f"cluster {cluster}"
    style = f"shape shape-{cluster_shape(cluster)} cluster-{cluster_colour(cluster)}"
    return Markup(f'<span class="{style}" role="img" aria-label="{name}"></span>')


class Drawn:
    """The functions that show an icon, which a macro draws."""

    def __init__(self, icon: Callable[..., Markup]) -> None:
        self._icon = icon

    def copy_button(self, text: str, label: str) -> Markup:
        """Give a button that copies a text; it does nothing without JavaScript, so it appears with it."""
        return Markup(
            f'<button class="icon-button iconed i-copy js-only" type="button" data-copy="{escape(text)}" '
            f'aria-label="{escape(label)}"></button>'
        )

    def explorer_tx(self, signature: str) -> Markup:
        """Give the link to a transaction, with its short signature."""
        return Markup(
            f'<a class="mono explorer" href="{escape(explorer_transaction(signature))}" target="_blank" '
            f'rel="noopener noreferrer">{escape(short_address(signature))}{self._icon("external-link", 12)}'
            '<span class="visually-hidden"> (opens the explorer)</span></a>'
        )

    def wallet_badge(
        self,
        address: str,
        label: str | None = None,
        url: str | None = None,
        cluster: int | None = None,
        buttons: bool = True,
        with_shape: bool = True,
        where: str = "",
    ) -> Markup:
        """Give a wallet: its label and last four, or the short address; then copy and explorer as siblings.

        `where` is a class for its place in a row.
        """
        named = label or short_address(address)
        mono = "" if label else " mono"
        bound = f'title="{escape(address)}"><bdi>{escape(named)}</bdi>'
        name = f'<a class="wallet-name{mono}" href="{escape(url)}" {bound}</a>'
        plain = f'<span class="wallet-name{mono}" {bound}</span>'
        tail = f'<span class="wallet-tail mono">{escape(last_four(address))}</span>' if label else ""
        style = f"wallet {where}" if where else "wallet"
        return Markup(
            f'<span class="{style}">{shape(cluster) if with_shape else ""}{name if url else plain}{tail}'
            f"{self._wallet_buttons(address, named) if buttons else ''}</span>"
        )

    def _wallet_buttons(self, address: str, named: str) -> str:
        return (
            f"{self.copy_button(address, f'Copy the address of {named}')}"
            f'<a class="icon-button iconed i-external-link" href="{escape(explorer_account(address))}" target="_blank" '
            f'rel="noopener noreferrer" aria-label="{escape(named)} in the explorer"></a>'
        )


def register(app: Flask) -> None:
    """Give an app's templates what they need to make these their macros."""
    app.jinja_env.globals.update(
        kept=kept, Drawn=Drawn, drawn_time=time, drawn_meter=meter, drawn_shape=shape, drawn_bar=bar
    )
    app.jinja_env.globals.update(score_button=score_button)
