"""Token cells as markup: one rendering for every place, kept until something that it shows changes. Reads no records.

A poll asks for seventy cells several times a second and for many readers at once: what it costs is looking them up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

from jinja2 import Environment
from markupsafe import Markup

from tasks.settings import Settings
from tasks.sources.names import imitated
from webapp import logos
from webapp.display import age
from webapp.drawn_tokens import Tokens

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
        return logo, imitated(shown.symbol, shown.name, shown.mint)


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
