"""Rules of the repository that no linter checks; the direction of imports is import-linter's (pyproject.toml)."""

from __future__ import annotations

import ast
import dataclasses
import pathlib
import re
from collections.abc import Iterator

from tasks.settings import PREFIX, Settings, read_settings
from tests.support.servers import ROOT

NOT_SETTINGS = {"given_secret_key": "SECRET_KEY"}


def modules() -> Iterator[tuple[str, pathlib.Path]]:
    for top in ("webapp", "tasks"):
        for path in sorted((ROOT / top).rglob("*.py")):
            if "migrations" not in path.parts:
                yield ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"), path
    yield "wsgi", ROOT / "wsgi.py"


def test_a_module_has_at_most_500_lines() -> None:
    long = {name: lines for name, path in modules() if (lines := len(path.read_text().splitlines())) > 500}
    assert long == {}


def test_every_module_says_what_it_is_for() -> None:
    silent = [name for name, path in modules() if not (ast.get_docstring(ast.parse(path.read_text())) or "").strip()]
    assert silent == []


def test_a_line_of_a_template_has_at_most_120_characters() -> None:
    paths = sorted((ROOT / "templates").rglob("*.html"))
    long = [f"{path.name}: {line}" for path in paths for line in path.read_text().splitlines() if len(line) > 120]
    assert long == []


def test_html_is_written_in_templates_only() -> None:
    html = re.compile(r"""Markup\(|["']<[a-z/!]""")
    exempt = {"webapp.errors", "webapp.exports.graphml", "webapp.middleware.load_shedding"}
    assert {name for name, path in modules() if name.startswith("webapp.") and html.search(path.read_text())} <= exempt


def settings_in_readme() -> dict[str, str]:
    rows = re.findall(r"^\| `WALLETKIN_(\w+)` \| ([^|]*) \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    return {name: default.strip() for name, default in rows}


def test_the_readme_lists_every_setting() -> None:
    names = {NOT_SETTINGS.get(f.name, f.name.upper()) for f in dataclasses.fields(Settings)}
    assert set(settings_in_readme()) == names


def test_the_readme_tells_the_defaults() -> None:
    settings = read_settings({})
    for name, default in settings_in_readme().items():
        value = getattr(settings, name.lower(), None)
        if isinstance(value, int | float) and default and default[0].isdigit():
            assert float(default.split()[0].replace(",", "")) == float(value), name


def test_no_file_names_a_package_registry() -> None:
    for path in [*ROOT.glob("*"), *(ROOT / "docs").rglob("*"), *(ROOT / ".ci").glob("*")]:
        if path.is_file() and path.suffix not in (".png", ".db"):
            text = path.read_text(errors="replace")
            assert not re.search(r"https?://[^\s]*(pypi\.org|pythonhosted|registry\.npmjs|deb\.debian)", text), path
    assert PREFIX == "WALLETKIN_"
