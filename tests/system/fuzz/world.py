"""An app of its own on an empty database, with an analysis that is complete and one that waits."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator

from flask import Flask

from tasks.settings import read_settings
from tasks.storage.models.base import db
from tests.conftest import use_base
from tests.support.site import address, buys, finish, mint, start, sync, work
from tests.webapp.conftest import WholeAnswers
from webapp import create_app


@contextlib.contextmanager
def app(folder: pathlib.Path) -> Iterator[tuple[Flask, dict[str, list[str]]]]:
    """Yield the app and what there is in it, by the parts of the routes."""
    values = {"DATABASE_URL": f"sqlite:///{folder}/fuzz.db", "DATA_DIR": str(folder), "SECRET_KEY": "k" * 32}
    made = create_app(read_settings({f"WALLETKIN_{name}": value for name, value in values.items()}))
    made.test_client_class = WholeAnswers
    try:
        yield made, fill(made)
    finally:
        if not db.is_closed():
            db.close()
        use_base()


def fill(made: Flask) -> dict[str, list[str]]:
    """Start two analyses, finish one, and return what can be asked about."""
    client = made.test_client()
    first = sync("alike 1", buys(1, 2, 3, 4), holdings=[mint(0)])
    wallets = sorted([first, sync("alike 2", buys(1, 2, 3, 4, at=30)), sync("half", buys(4, 3, 0, 0, 2, 1), failed=1)])
    done, running = finish(client, wallets), start(client, [address("one"), address("two")])
    work(("enrich",))
    jobs = [job["id"] for job in client.get("/activity.json").json["jobs"]]
    a, *others = wallets
    return {"key": [done, done, done, running], "a": [a], "b": others, "address": wallets, "job_id": jobs}
