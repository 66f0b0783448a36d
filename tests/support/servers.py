"""Starts the real servers that tests need: PostgreSQL, Redis, and this project's own processes. Mocks nothing."""

from __future__ import annotations

import contextlib
import glob
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

import psutil
import psycopg
import pytest

from tests.support.waiting import HANG_S, until

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(sys.executable).parent


def missing(reason: str) -> None:
    """Skip for want of a server, with the reason; where nothing may be skipped (CI), fail."""
    if os.environ.get("CI"):
        pytest.fail(f"{reason}, and CI must not skip")
    pytest.skip(reason)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _program(name: str, pattern: str) -> str | None:
    return next(iter(sorted(glob.glob(pattern), reverse=True)), None) or shutil.which(name)


class Server:
    """A process that tests start, stop, and kill as a crash would; `launch` puts it into `process`."""

    ENDED_BY = signal.SIGTERM
    process: subprocess.Popen[bytes] | None = None

    def kill(self) -> None:
        """End it and all its children at once, as a crash would."""
        if self.process is not None:
            kill_tree(self.process)
            self.process = None

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(self.ENDED_BY)
            self.process.wait(HANG_S)
            self.process = None


class PostgresServer(Server):
    """A PostgreSQL server of its own on a free port, which may be killed and started again.

    `durable`: what it has committed outlives it, as in earnest; else it is quicker.
    """

    ENDED_BY = signal.SIGQUIT  # at once: what it would still write to disk is thrown away

    def __init__(self, server: str, initdb: str, folder: str, *, durable: bool = False):
        self.port = free_port()
        self.url = f"postgresql://walletkin@127.0.0.1:{self.port}/postgres"
        # PostgreSQL refuses to run as root; Debian's package brings the user that it runs as.
        root = os.geteuid() == 0
        self._user: dict[str, Any] = {"user": "postgres", "group": "postgres", "extra_groups": []} if root else {}
        self._folder = folder
        if root:
            shutil.chown(folder, "postgres")
        subprocess.run(
            [initdb, "-D", f"{folder}/data", "-U", "walletkin", "--auth=trust", "--no-sync", "-E", "UTF8"],
            check=True, capture_output=True, cwd=folder, **self._user,
        )  # fmt: skip
        options = ["-k", folder, "-h", "127.0.0.1", "-p", str(self.port), "-c", "max_connections=200"]
        self._command = [server, "-D", f"{folder}/data", *options, *([] if durable else ["-F"])]

    def launch(self) -> None:
        """Start it without waiting until it takes connections."""
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(self._command, cwd=self._folder, stdout=quiet, stderr=quiet, **self._user)

    def start(self) -> None:
        self.launch()
        until(lambda: _takes_connections(self.url), "PostgreSQL to take connections")


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all that it started, also what left its group, and wait for the end of each."""
    with contextlib.suppress(psutil.NoSuchProcess):
        family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
        for one in reversed(family):
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        psutil.wait_procs(family[:-1], timeout=HANG_S)
    process.wait(HANG_S)


@contextlib.contextmanager
def postgres_server(*, durable: bool = False) -> Iterator[PostgresServer]:
    """Run a PostgreSQL server for the block, in a temporary folder."""
    server = _program("postgres", "/usr/lib/postgresql/*/bin/postgres")
    initdb = _program("initdb", "/usr/lib/postgresql/*/bin/initdb")
    if server is None or initdb is None:
        missing("there is no PostgreSQL server on this machine")
        return
    with tempfile.TemporaryDirectory(prefix="walletkin-pg-", dir=None if durable else _memory_folder()) as folder:
        running = PostgresServer(server, initdb, folder, durable=durable)
        try:
            running.start()
            yield running
        finally:
            running.stop()


def _memory_folder() -> str | None:
    """Return /dev/shm if it has room for a cluster of tests: databases are made and dropped faster in memory."""
    with contextlib.suppress(OSError):
        if shutil.disk_usage("/dev/shm").free > 2 * 2**30:
            return "/dev/shm"
    return None


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """Run a PostgreSQL server for the block; yield its URL."""
    with postgres_server() as server:
        yield server.url


def _takes_connections(url: str) -> bool:
    """Tell whether a PostgreSQL server is up: it listens before it takes connections."""
    with contextlib.suppress(psycopg.OperationalError):
        psycopg.connect(url).close()
        return True
    return False


DURABLE_REDIS = ("--appendonly", "yes", "--appendfsync", "everysec", "--maxmemory-policy", "noeviction")


class RedisServer(Server):
    """A Redis server of its own on a free port, which may be stopped, killed and started again.

    It keeps nothing on disk, unless `durable`: then as docs/running.md says that a queue's has to.
    """

    def __init__(self, program: str, folder: str, *, durable: bool = False):
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        keeps = [*DURABLE_REDIS] if durable else ["--save", "", "--appendonly", "no"]
        self._command = [program, "--port", str(self.port), "--dir", folder, *keeps]

    def launch(self) -> None:
        """Start it without waiting until it takes connections."""
        self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)

    def start(self) -> None:
        self.launch()
        wait_for_port(self.port)


@contextlib.contextmanager
def redis_server(*, durable: bool = False) -> Iterator[RedisServer]:
    """Run a Redis server for the block."""
    program = _program("redis-server", "/usr/bin/redis-server")
    if program is None:
        missing("there is no redis-server on this machine")
        return
    with tempfile.TemporaryDirectory(prefix="walletkin-redis-") as folder:
        server = RedisServer(program, folder, durable=durable)
        try:
            server.start()
            yield server
        finally:
            server.stop()


@contextlib.contextmanager
def redis() -> Iterator[str]:
    """Run a Redis server for the block; yield its URL."""
    with redis_server() as server:
        yield server.url


def wait_for_port(port: int) -> None:
    """Wait until something listens on a port of this machine."""
    until(lambda: _listens(port), f"port {port} to be listened on")


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=HANG_S):
        return True
    return False


def demo_environ(chain_url: str, seed: int) -> dict[str, str]:
    """Return the environment in which the program reads a made-up chain as fast as it can, as the demo does."""
    return {
        "WALLETKIN_SOLANA_RPC_URL": chain_url,
        "WALLETKIN_DEXSCREENER_URL": chain_url,
        "WALLETKIN_JUPITER_URL": chain_url,
        "WALLETKIN_RPC_REQUESTS_PER_S": "100000",
        "WALLETKIN_SIMULATOR_SEED": str(seed),
    }


def web_command(port: int) -> list[str]:
    """Return how the Procfile starts the web processes, on a port."""
    line = next(line for line in (ROOT / "Procfile").read_text().splitlines() if line.startswith("web: "))
    given = line.removeprefix("web: ").replace("${WALLETKIN_BIND:-127.0.0.1:8000}", f"127.0.0.1:{port}")
    return ["sh", "-c", f"exec {given}"]


class Program:
    """The system under test as a person runs it: its own processes, its own data folder, spoken to over HTTP."""

    def __init__(self, folder: pathlib.Path, environ: Mapping[str, str]):
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("WALLETKIN_")},
            "PATH": f"{BIN}:{os.environ.get('PATH', '')}",
            "WALLETKIN_DATA_DIR": str(folder),
            "WALLETKIN_BIND": f"127.0.0.1:{self.port}",
            **environ,
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> subprocess.Popen[bytes]:
        """Start `web`, `pipeline` or `enrichment`; what it prints goes to a file in the data folder."""
        command = {
            "web": ["gunicorn", "wsgi:app", "--bind", f"127.0.0.1:{self.port}", "--threads", "8", "--worker-class",
                    "gthread", "--limit-request-line", "8190", "--no-control-socket", "--log-level", "warning"],
            "pipeline": ["walletkin", "worker", "pipeline"],
            "enrichment": ["walletkin", "worker", "enrichment"],
        }[name]  # fmt: skip
        with open(self.folder / f"{name}.log", "ab") as log:
            process = subprocess.Popen(
                command, cwd=ROOT, env=self.environ, stdout=log, stderr=log, start_new_session=True
            )
        self.processes[name] = process
        if name == "web":
            self.wait_until_ready()
        return process

    def wait_until_ready(self) -> None:
        try:
            until(self._is_healthy, "the web process to answer")
        except TimeoutError as error:
            error.add_note(self.log("web"))
            raise

    def _is_healthy(self) -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/healthz", timeout=HANG_S):
            return True
        return False

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Send a signal to a process and all it started, and wait for its end."""
        process = self.processes.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        process.wait(HANG_S)

    def stop(self) -> None:
        for name in list(self.processes):
            self.kill(name)


@contextlib.contextmanager
def program(
    folder: pathlib.Path, environ: Mapping[str, str], names: tuple[str, ...] = ("web", "pipeline")
) -> Iterator[Program]:
    """Run the named processes for the block."""
    running = Program(folder, environ)
    try:
        for name in names:
            running.start(name)
        yield running
    finally:
        running.stop()
