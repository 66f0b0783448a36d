"""The app on an empty database of its own, and a client that checks every JSON answer."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from jinja2 import FileSystemBytecodeCache

from tasks.settings import read_settings
from tasks.storage.models.base import db
from tests.conftest import use_base
from tests.support import openapi_check
from tests.support.site import buys, mint, sync
from webapp import create_app


class WholeAnswers(FlaskClient):
    """A client that reads every answer to its end, so that sent files are closed, and holds JSON to its description."""

    def open(self, *args: Any, **kwargs: Any) -> Any:
        answer = super().open(*args, **{"buffered": True, **kwargs})
        openapi_check.check_answer(self.application, answer)
        return answer


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> FileSystemBytecodeCache:
    """The templates' code, shared by all apps: compiling it anew for each took most of a test's time."""
    return FileSystemBytecodeCache(str(tmp_path_factory.mktemp("templates")))


@pytest.fixture
def make_app(
    database_url: str, tmp_path: pathlib.Path, compiled: FileSystemBytecodeCache
) -> Iterator[Callable[..., Flask]]:
    """Build the app with the settings given; each call makes one on the same database."""

    opened = []

    def make(**environ: str) -> Flask:
        values = {"DATABASE_URL": database_url, "DATA_DIR": str(tmp_path), "SECRET_KEY": "k" * 32} | environ
        app = create_app(read_settings({f"WALLETKIN_{name}": value for name, value in values.items()}))
        opened.append(db.obj)
        app.test_client_class = WholeAnswers
        app.jinja_env.bytecode_cache = compiled
        return app

    yield make
    if not db.is_closed():
        db.close()
    for pool in opened:
        pool.close_all()
    use_base()


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    return make_app()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def five_wallets(app: Flask) -> list[str]:
    """Five synced wallets: two alike, one half alike, one apart, and one with too few tokens; in address order."""
    return sorted(
        [
            sync("alike 1", buys(1, 2, 3, 4), holdings=[mint(0), mint(1)]),
            sync("alike 2", buys(1, 2, 3, 4, at=30), holdings=[mint(0)]),
            sync("half", buys(4, 3, 0, 0, 2, 1)),
            sync("apart", buys(1, 1, 1, first=20)),
            sync("few", buys(1)),
        ]
    )
