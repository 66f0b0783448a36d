"""The object `ui`: every macro by its name."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment


class Macros:
    """All macros of ``templates/macros`` under one name, also inside blocks that are rendered alone.

    A block that htmx asks for sees no imports of its template, so every page writes ``ui.meter(…)`` instead. The macros
    see only their arguments and the globals.
    """

    FILES = ("basics", "cards", "figures", "wallets", "tokens", "intake")

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def keep(self, **functions: Any) -> None:
        """Let functions stand for the macros of the same names."""
        self.__dict__.update(functions)

    def __getattr__(self, name: str) -> Any:
        for file in self.FILES:
            macro = getattr(self._environment.get_template(f"macros/{file}.html").module, name, None)
            if macro is not None:
                if not self._environment.auto_reload:
                    self.keep(**{name: macro})
                return macro
        raise AttributeError(f"there is no macro {name!r} in templates/macros")
