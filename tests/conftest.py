"""What every test shares: the recorded responses, the databases, and the profile of the property tests."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

import tasks.settings
from tasks.jobs import executor, queues
from tasks.settings import configure, current, read_settings
from tasks.storage import database
from tasks.worker import HANDLERS
from tests.support import servers

# Neither the settings of this shell nor the data folder of the checkout are the tests' own.
for _name in [name for name in os.environ if name.startswith("WALLETKIN_")]:
    del os.environ[_name]
_folder = tempfile.TemporaryDirectory(prefix="walletkin-tests-", ignore_cleanup_errors=True)
BASE = read_settings({"WALLETKIN_DATA_DIR": _folder.name})

assert HANDLERS  # imported, so that every kind of job has its handler
SHARED = pathlib.Path(__file__).resolve().parents[2] / "shared"

settings.register_profile("default", deadline=None, max_examples=20, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("long", settings.get_profile("default"), max_examples=300)
settings.register_profile("fuzz", settings.get_profile("default"), max_examples=3_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

# One worker runs all tests of each of these: they share a running system. The browser tests have two, which they
# make in 16 s each: the pages of the catalogue take as long as all others together.
TOGETHER = (
    "tests/browser/test_everywhere.py",
    "tests/browser/",
    "tests/system/test_real_processes.py",
    "tests/system/test_machines.py",
)


class GroupScheduling(LoadScopeScheduling):
    """Gives each test to the next free worker, and each group of TOGETHER, which start first, to one worker.

    `--dist loadgroup` groups nothing under pytest 9.2 (pytest-xdist issue 1386).
    """

    def _split_scope(self, nodeid: str) -> str:
        return next((start for start in TOGETHER if nodeid.startswith(start)), nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> GroupScheduling:
    return GroupScheduling(config, log)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--database", choices=["sqlite", "postgresql"], help="run the database tests alone, all of them on this one"
    )


@pytest.hookimpl(trylast=True)  # after pytest-randomly
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Apply `--database`, and put the slow tests first: with several workers the short ones then fill the gaps."""
    if wanted := config.getoption("database"):
        config.hook.pytest_deselected(items=[item for item in items if not _runs_on(item, wanted)])
        items[:] = [item for item in items if _runs_on(item, wanted)]
    items.sort(key=lambda item: not any(item.get_closest_marker(name) for name in ("long", "slow")))


def _runs_on(item: pytest.Item, wanted: str) -> bool:
    """Tell whether a test uses a database, and not one other than the wanted one."""
    given = getattr(getattr(item, "callspec", None), "params", {}).get("database_url", wanted)
    return "database_url" in getattr(item, "fixturenames", ()) and given == wanted


def use_base() -> None:
    """Give this process the settings, queues and database that tests without their own have."""
    configure(BASE)
    queues.open_queues(BASE, executor.receive)
    database.open_database(BASE)


use_base()


@pytest.fixture(autouse=True)
def base_settings() -> Iterator[None]:
    """Undo what a test set; see `configure` in tasks/settings.py."""
    yield
    if current() is not BASE:
        use_base()


def set_timing(monkeypatch: pytest.MonkeyPatch, **seconds: float) -> None:
    """Change values of `tasks.settings.Timing` for a test, in this process."""
    monkeypatch.setattr(tasks.settings, "_timing", dataclasses.replace(tasks.settings.timing(), **seconds))


@pytest.fixture(scope="session")
def samples() -> pathlib.Path:
    """The folder of recorded responses, which lies beside the checkout; skip where it does not."""
    folder = SHARED / "samples"
    if not folder.is_dir():
        pytest.skip("the recorded responses (../shared/samples) are not on this machine")
    return folder


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server for the whole run."""
    with servers.postgres() as url:
        yield url


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Redis server for the whole run."""
    with servers.redis() as url:
        yield url


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """An empty, migrated SQLite database to copy: migrating anew for each test took most of its setup."""
    path = tmp_path_factory.mktemp("migrated") / "walletkin.db"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_template(postgres_url: str) -> str:
    """The name of an empty, migrated database on the PostgreSQL server, to copy."""
    _migrate(_make_database(postgres_url, "migrated", "template0"))
    return "migrated"


def _migrate(url: str) -> None:
    opened = database.open_database(read_settings({"WALLETKIN_DATABASE_URL": url}))
    database.migrate()
    if hasattr(opened, "close_all"):
        opened.close_all()
    use_base()


def _make_database(server: str, name: str, template: str) -> str:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    return server.rpartition("/")[0] + f"/{name}"


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[str]:
    """The URL of an empty database of this test: SQLite, unless parametrised or run with `--database postgresql`.

    It is migrated, unless the test is marked `unmigrated`: then it has no tables. A PostgreSQL database is dropped
    after the test; kept until the end of the session, hundreds of them took minutes to delete.
    """
    bare = request.node.get_closest_marker("unmigrated") is not None
    if getattr(request, "param", request.config.getoption("database") or "sqlite") == "sqlite":
        path = tmp_path / "walletkin.db"
        if not bare:
            shutil.copyfile(request.getfixturevalue("migrated_file"), path)
        yield f"sqlite:///{path}"
        return
    template = "template0" if bare else request.getfixturevalue("migrated_template")
    server, name = request.getfixturevalue("postgres_url"), f"test_{uuid.uuid4().hex}"
    yield _make_database(server, name, template)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def records(database_url: str, tmp_path: pathlib.Path) -> Iterator[None]:
    """Open and migrate this test's database, and hold a connection."""
    configure(dataclasses.replace(BASE, database_url=database_url))
    opened = database.open_database(current())
    database.migrate()
    with database.session():
        yield
    if hasattr(opened, "close_all"):
        opened.close_all()
    use_base()


both_databases = pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
