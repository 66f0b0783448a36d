"""The tag `{% cache value, … %}…{% endcache %}`: keeps what it encloses, rendered, for the same values.

A page has fifty rows of dozens of parts each, and a result never changes: its rows are rendered once. The values must
be all that the enclosed part depends on, the words of an age included.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

from jinja2 import Environment, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.utils import LRUCache
from msgspec import Struct, structs

MOST_FRAGMENTS = 4_096
"""A row has about 2.5 KB."""


class FragmentCache(Extension):
    """The tag, and the newest fragments of one environment."""

    tags = {"cache"}

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._fragments = LRUCache(MOST_FRAGMENTS)

    def parse(self, parser: Parser) -> nodes.Node:
        """Compile the tag to a call of `_render`, with the enclosed part as its caller."""
        line = next(parser.stream).lineno
        values = parser.parse_tuple(with_condexpr=True)
        body = parser.parse_statements(("name:endcache",), drop_needle=True)
        place = nodes.Const(f"{parser.name}:{line}")
        return nodes.CallBlock(self.call_method("_render", [place, values]), [], [], body).set_lineno(line)

    def _render(self, place: str, values: Any, caller: Callable[[], str]) -> str:
        key = (place, frozen(values))
        fragment: str | None = self._fragments.get(key)
        if fragment is None:
            fragment = self._fragments[key] = caller()
        return fragment


def frozen(value: Any) -> Hashable:
    """Return the value as part of a key: mappings, sequences and structures become tuples."""
    if isinstance(value, Struct):
        return tuple(map(frozen, structs.astuple(value)))
    if isinstance(value, Mapping):
        return (*value, *map(frozen, value.values()))
    if isinstance(value, list | tuple):
        return tuple(map(frozen, value))
    return value  # type: ignore[no-any-return]
