"""The two cells of a token, written by Python for the reason that drawn.py gives. Reads no records, keeps nothing.

Always a 24 px logo and two lines, so that nothing moves when a name or a price arrives. A poll swaps the cells in every
place of their mint, so each has one rendering: links, which may have the focus, stand beside them. A token is a view
with the keys of the JSON shape "token", and `awaited`: whether news of it is on its way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

from jinja2 import Environment
from markupsafe import Markup, escape

from tasks.settings import Settings
from tasks.sources.market.names import impersonated_token
from webapp.markup import logos
from webapp.markup.components import time
from webapp.markup.filters import age, explorer_account, short_address, usd
from webapp.markup.labels import monogram, monogram_colour
from webapp.markup.words import plain_text

Token = Mapping[str, Any]
WITHOUT_NAME = {"unlisted": "No market found", "failed": "Lookup failed"}


class Tokens:
    """Cells, made of the icons that the macro of that name gives."""

    def __init__(self, icon: Callable[..., Markup]) -> None:
        self._icon = icon

    def token_cell(self, token: Token, logo: str | None = None, imitates: str | None = None, oob: bool = False) -> str:
        """Give logo, symbol and name of a token; or that it is being looked up, unlisted or failed.

        `imitates` is the symbol of the well-known token that it is not; `oob` makes it an answer to a poll.
        """
        lines = self._names(token, imitates) if token["status"] == "resolved" else _unnamed(token)
        return f"<span {_swapped('token', token, oob)}>{self._disc(token, logo)}{lines}</span>"

    def token_price(self, token: Token, oob: bool = False) -> str:
        """Give the price and its age, a skeleton, "no price", or Retry."""
        return f"<span {_swapped('price', token, oob)}>{self._price(token)}</span>"

    def token_place(self, token: Token, cell: str) -> str:
        """Give a cell of a token with the link to the explorer beside it."""
        mint, short = token["mint"], short_address(token["mint"])
        return (
            f'<span class="token-place">{cell}<a class="icon-button" href="{escape(explorer_account(mint))}" '
            f'target="_blank" rel="noopener noreferrer" title="{escape(mint)}" '
            f'aria-label="{escape(short)} in the explorer">{self._icon("external-link", 14)}</a></span>'
        )

    def _disc(self, token: Token, logo: str | None) -> str:
        status = token["status"]
        if status == "resolved":
            return _logo(token, logo)
        if status == "failed":
            return f'<span class="disc disc-failed">{self._icon("circle-alert", 14)}</span>'
        if status == "pending" and token["awaited"]:
            return '<span class="disc skeleton"></span>'
        return '<span class="disc disc-unlisted" aria-hidden="true">?</span>'

    def _names(self, token: Token, imitates: str | None) -> str:
        short = short_address(token["mint"])
        symbol, name = (plain_text(token[key]) for key in ("symbol", "name"))
        titled = f' title="{escape(name)}"' if name else ""
        return (
            f'<span class="token-first" title="{escape(symbol or short)}, {escape(token["mint"])}">'
            f"<bdi>{escape(symbol or short)}</bdi></span>\n"
            f'<span class="token-second"{titled}>{self._imitation(imitates)}<bdi>{escape(name or short)}</bdi></span>'
        )

    def _imitation(self, imitates: str | None) -> str:
        if not imitates:
            return ""
        return (
            f'<span class="imitation" title="Another token than the well-known {escape(imitates)}: only its name or '
            f'symbol is alike. Compare the mint.">{self._icon("triangle-alert", 12)}not {escape(imitates)}</span> '
        )

    def _price(self, token: Token) -> str:
        status = token["status"]
        if status == "resolved" and token["price_usd"] is not None:
            stale, words = (" is-stale", "stale, ") if token["stale"] else ("", "")
            return (
                f'<span class="price-value{stale}">{usd(token["price_usd"])}</span>\n'
                f'<span class="price-age{stale}">{words}{time(token["last_updated"])}</span>'
            )
        if status == "failed":
            return (
                '<button class="link-button price-retry" type="submit" form="refresh-form" name="mints" '
                f'value="{escape(token["mint"])}" aria-label="Look {escape(short_address(token["mint"]))} up again">'
                f"{self._icon('refresh-cw', 14)}Retry</button>"
            )
        if status == "pending" and token["awaited"]:
            return (
                '<span class="skeleton skeleton-text skeleton-price"></span>'
                '<span class="visually-hidden">price not known yet</span>'
            )
        return '<span class="unknown">no price</span>'


def _logo(token: Token, logo: str | None) -> str:
    letters = escape(monogram(plain_text(token["symbol"]), token["mint"]))
    colour = monogram_colour(token["mint"])
    if not logo:
        return f'<span class="disc monogram-{colour}" aria-hidden="true">{letters}</span>'
    return (
        f'<img class="disc" src="{escape(logo)}" width="24" height="24" alt="" loading="lazy" decoding="async" '
        f'referrerpolicy="no-referrer" data-monogram="{letters}" data-colour="{colour}">'
    )


def _unnamed(token: Token) -> str:
    words = WITHOUT_NAME.get(token["status"], "resolving…" if token["awaited"] else "not looked up")
    mint, short = escape(token["mint"]), escape(short_address(token["mint"]))
    return (
        f'<span class="token-first mono" title="{mint}"><bdi>{short}</bdi></span>'
        f'\n<span class="token-second"><bdi>{words}</bdi></span>'
    )


def _swapped(style: str, token: Token, oob: bool) -> str:
    mint = escape(token["mint"])
    awaited = " data-awaited" if token["awaited"] else ""
    swap = f' hx-swap-oob="outerHTML:.{style}-{mint}"' if oob else ""
    return f'class="{style} {style}-{mint} token-is-{token["status"]}" data-mint="{mint}"{awaited}{swap}'


MOST_KEPT = 4_096
LONGEST_NAME = 200  # what is cut off here could not be seen: a cell shows some twenty letters, its title eighty


class _Shown(NamedTuple):
    """All that the two cells of a token depend on; `age` stands for the words that the price's age is written in."""

    mint: str
    status: str
    symbol: str | None
    name: str | None
    image_url: str | None
    price_usd: float | None
    last_updated: float | None
    stale: bool
    awaited: bool
    age: str


class _Rendered(NamedTuple):
    """The cells of a token in a page, the first with its link too."""

    token: Markup
    price: Markup
    place: Markup


class Cells:
    """Draws cells and keeps the newest ones."""

    def __init__(self, environment: Environment, settings: Settings):
        self._environment = environment
        self._origins = frozenset(logos.origins(settings))
        self._rendered = lru_cache(MOST_KEPT)(self._render)
        self._swap = lru_cache(MOST_KEPT)(self._render_swap)

    def token_cell(self, token: Mapping[str, Any]) -> Markup:
        """Return a token's logo, symbol and name. `token` is a view of `shapes.token_views`."""
        return self._rendered(_shown(token)).token

    def token_price(self, token: Mapping[str, Any]) -> Markup:
        """Return a token's price and how old it is."""
        return self._rendered(_shown(token)).price

    def token_place(self, token: Mapping[str, Any]) -> Markup:
        """Return a token's cell with the link to the explorer."""
        return self._rendered(_shown(token)).place

    def swaps(self, tokens: Iterable[Mapping[str, Any]]) -> str:
        """Return both cells of each token for htmx to put in every place of its mint."""
        return "".join(self._swap(_shown(token)) for token in tokens)

    @cached_property
    def _drawn(self) -> Tokens:
        return Tokens(self._environment.get_template("macros/basics.html").module.icon)  # type: ignore[attr-defined]

    def _render(self, shown: _Shown) -> _Rendered:
        token, drawn = shown._asdict(), self._drawn
        cell = drawn.token_cell(token, *self._marks(shown))
        return _Rendered(Markup(cell), Markup(drawn.token_price(token)), Markup(drawn.token_place(token, cell)))

    def _render_swap(self, shown: _Shown) -> str:
        """Give both cells as the answer to a poll: out of band."""
        token, drawn = shown._asdict(), self._drawn
        return drawn.token_cell(token, *self._marks(shown), oob=True) + drawn.token_price(token, oob=True)

    def _marks(self, shown: _Shown) -> tuple[str | None, str | None]:
        """Give the logo that may be shown, and the well-known token that this one only looks like."""
        logo = logos.allowed(shown.image_url, self._origins)
        return logo, impersonated_token(shown.symbol, shown.name, shown.mint)


def _shown(token: Mapping[str, Any]) -> _Shown:
    symbol, name, updated = token["symbol"], token["name"], token["last_updated"]
    return _Shown(
        token["mint"],
        token["status"],
        symbol and symbol[:LONGEST_NAME],
        name and name[:LONGEST_NAME],
        token["image_url"],
        token["price_usd"],
        updated,
        token["stale"],
        token["awaited"],
        "" if updated is None else age(updated),
    )
