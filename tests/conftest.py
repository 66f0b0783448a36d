"""What every test shares: the recorded responses, the databases, and the profile of the property tests."""

from __future__ import annotations

import os
import pathlib
import tempfile
import uuid
from collections.abc import Iterator

# The queues are opened when their module is imported: in a folder of this test run, never in the checkout's own.
_folder = tempfile.TemporaryDirectory(prefix="walletkin-tests-", ignore_cleanup_errors=True)
for _name in [name for name in os.environ if name.startswith("WALLETKIN_")]:
    del os.environ[_name]
os.environ["WALLETKIN_DATA_DIR"] = _folder.name

import psycopg
import pytest
from hypothesis import HealthCheck, settings

from tasks import queues
from tasks.records import database
from tasks.settings import read_settings
from tests import servers

SHARED = pathlib.Path(__file__).resolve().parents[2] / "shared"

settings.register_profile("default", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("long", settings.get_profile("default"), max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


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


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[str]:
    """The URL of an empty database of this test's own; SQLite unless the test is parametrised with "postgresql"."""
    if getattr(request, "param", "sqlite") == "sqlite":
        yield f"sqlite:///{tmp_path}/walletkin.db"
        return
    server = request.getfixturevalue("postgres_url")
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield server.rpartition("/")[0] + f"/{name}"


@pytest.fixture
def records(database_url: str, tmp_path: pathlib.Path) -> Iterator[None]:
    """Open and migrate this test's database, and hold a connection."""
    settings = read_settings({"WALLETKIN_DATABASE_URL": database_url, "WALLETKIN_DATA_DIR": str(tmp_path)})
    opened = database.open_database(settings)
    database.migrate()
    with database.session():
        yield
    if hasattr(opened, "close_all"):
        opened.close_all()
    database.open_database(queues.SETTINGS)


both_databases = pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
