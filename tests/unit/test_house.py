"""The house keeps its shape: imports run one way, rooms stay apart, modules stay small, and the docs keep up."""

from __future__ import annotations

import ast
import dataclasses
import pathlib
import re
from collections.abc import Iterator

import pytest

from tasks.settings import PREFIX, Settings, read_settings

ROOT = pathlib.Path(__file__).resolve().parents[2]
FLOORS = {
    "tasks.settings": 0,
    "tasks.errors": -1,
    "tasks.tiers": -1,
    "tasks.counts": -1,
    "tasks.logs": 1,
    "tasks.server_log": 2,
    "tasks.analysis": 1,
    "tasks.simulator": 1,
    "tasks.sources": 2,  # reads the wire into the analysis room's transactions
    "tasks.records": 2,
    "tasks.messages": 2,
    "tasks.queues": 3,
    "tasks.holders": 3,
    "tasks.pulse": 4,
    "tasks.jobs": 4,
    "tasks.runner": 5,
    "tasks.submission": 5,
    "tasks.recovery": 5,
    "tasks.health": 5,
    "tasks.frame": 3,
    "tasks.lifecycle": 6,
    "tasks.sync": 7,
    "tasks.lanes": 6,
    "tasks.enrich": 7,
    "tasks.apart": 2,
    "tasks.books": 3,
    "tasks.reading": 4,
    "tasks.findings": 5,
    "tasks.stage": 7,
    "tasks.child": 8,
    "tasks.analyse": 9,
    "tasks.evidence": 9,
    "tasks.schedule": 10,
    "tasks.cli": 11,
    "webapp": 12,
    "wsgi": 13,
}
NOT_SETTINGS = {"given_secret_key": "SECRET_KEY"}


def modules() -> Iterator[tuple[str, pathlib.Path]]:
    for top in ("webapp", "tasks"):
        for path in sorted((ROOT / top).rglob("*.py")):
            if "migrations" not in path.parts:
                yield ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"), path
    yield "wsgi", ROOT / "wsgi.py"


def room(name: str) -> str | None:
    return max((r for r in FLOORS if name == r or name.startswith(r + ".")), key=len, default=None)


def imports(path: pathlib.Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_module_is_in_a_room() -> None:
    assert [name for name, _ in modules() if name != "tasks" and room(name) is None] == []


@pytest.mark.parametrize(("name", "path"), list(modules()), ids=lambda value: value if isinstance(value, str) else "")
def test_imports_run_down_the_floors(name: str, path: pathlib.Path) -> None:
    mine = room(name)
    for imported in imports(path):
        other = room(imported)
        if other is not None and other != mine:
            assert FLOORS[other] < FLOORS[mine or "tasks.settings"], f"{name} imports {imported}"


@pytest.mark.parametrize(("name", "path"), list(modules()), ids=lambda value: value if isinstance(value, str) else "")
def test_a_room_uses_only_its_own_kind_of_library(name: str, path: pathlib.Path) -> None:
    tops = {imported.split(".")[0] for imported in imports(path)}
    if name.startswith("tasks"):
        assert not tops & {"flask", "jinja2", "werkzeug", "htmx_flask", "webapp"}
    if name.startswith("tasks.analysis"):
        assert not tops & {"peewee", "playhouse", "requests", "redis", "huey", "time", "datetime"}
    if name.startswith("webapp"):
        assert not tops & {"requests", "numpy", "scipy", "huey"}, "a page never fetches or computes"


def test_modules_are_rooms_and_not_halls() -> None:
    long = {name: lines for name, path in modules() if (lines := len(path.read_text().splitlines())) > 350}
    assert long == {}


def test_every_module_says_what_it_is_for() -> None:
    silent = [name for name, path in modules() if not (ast.get_docstring(ast.parse(path.read_text())) or "").strip()]
    assert silent == []


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
    for path in [*ROOT.glob("*"), *(ROOT / "docs").glob("*"), *(ROOT / ".ci").glob("*")]:
        if path.is_file() and path.suffix not in (".png", ".db"):
            text = path.read_text(errors="replace")
            assert not re.search(r"https?://[^\s]*(pypi\.org|pythonhosted|registry\.npmjs|deb\.debian)", text), path
    assert PREFIX == "WALLETKIN_"
