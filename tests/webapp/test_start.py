"""What a start of the web process keeps, so that the next one is quick."""

from __future__ import annotations

import pathlib

from flask import Flask, render_template

from webapp import _store_compiled


def test_compiled_templates_are_kept_for_the_next_start(tmp_path: pathlib.Path) -> None:
    (tmp_path / "page.html").write_text("Hello {{ 1 + 1 }}")
    kept = []
    for _ in range(2):
        app = Flask("other", template_folder=str(tmp_path))
        _store_compiled(app, tmp_path / "kept")
        with app.test_request_context():
            assert render_template("page.html") == "Hello 2"
        kept.append({file.name: file.stat().st_mtime_ns for file in (tmp_path / "kept").iterdir()})
    assert len(kept[0]) == 1
    assert kept[0] == kept[1], "the second start compiled nothing"


def test_where_nothing_can_be_kept_the_start_goes_on(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").touch()
    app = Flask("other")
    _store_compiled(app, tmp_path / "file" / "templates")
    assert app.jinja_env.bytecode_cache is None
