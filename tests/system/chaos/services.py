"""The system under test in either way to run: what it consists of, and how its records are looked into."""

from __future__ import annotations

import contextlib
import pathlib
import random
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg

from tests.support import servers
from tests.support.waiting import HANG_S
from tests.system.chaos.supervisor import Supervisor, Unit, store_unit, unit

WORKERS = ("pipeline1", "pipeline2", "enrichment1", "enrichment2")


@dataclass(frozen=True)
class System:
    """A running system: its address, its processes, and the URL of its database."""

    url: str
    folder: pathlib.Path
    supervisor: Supervisor
    database_url: str

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the database itself."""
        if not self.database_url.startswith("sqlite"):
            with psycopg.connect(self.database_url) as server:
                return server.execute(sql).fetchall()
        with contextlib.closing(sqlite3.connect(self.database_url.removeprefix("sqlite:///"), timeout=HANG_S)) as file:
            return file.execute(sql).fetchall()

    def logged(self) -> str:
        return "".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log")))


@contextlib.contextmanager
def system(folder: pathlib.Path, chain_url: str, chance: random.Random, *, scaled: bool) -> Iterator[System]:
    """Run web, two workers of each queue, and when scaled out PostgreSQL and Redis, for the block."""
    folder.mkdir()
    with contextlib.ExitStack() as stack:
        stores: list[Unit] = []
        environ = {
            **servers.demo_environ(chain_url, 7),
            "WALLETKIN_SYNC_TTL_S": "0",
            "WALLETKIN_WORKERS": "2",
            "WALLETKIN_TIMING": "fast",
        }
        environ["WALLETKIN_DATABASE_URL"] = f"sqlite:///{folder}/walletkin.db"
        if scaled:
            postgres = stack.enter_context(servers.postgres_server(durable=True))
            redis = stack.enter_context(servers.redis_server(durable=True))
            stores = [store_unit("postgres", postgres), store_unit("redis", redis)]
            environ |= {"WALLETKIN_DATABASE_URL": postgres.url, "WALLETKIN_REDIS_URL": redis.url}
        program = servers.Program(folder, environ)
        units = [unit("web", servers.web_command(program.port), folder, program.environ)]
        units += [unit(name, ["walletkin", "worker", name[:-1]], folder, program.environ) for name in WORKERS]
        supervisor = stack.enter_context(Supervisor([*stores, *units], chance).running())
        program.wait_until_ready()
        yield System(program.url, folder, supervisor, environ["WALLETKIN_DATABASE_URL"])
