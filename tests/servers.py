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
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping

import psycopg
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
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


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """Run a PostgreSQL server of its own in a temporary folder; yield its URL."""
    server = _program("postgres", "/usr/lib/postgresql/*/bin/postgres")
    initdb = _program("initdb", "/usr/lib/postgresql/*/bin/initdb")
    if server is None or initdb is None:
        missing("there is no PostgreSQL server on this machine")
        return
    # PostgreSQL refuses to run as root; Debian's package brings the user that it runs as.
    user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory(prefix="walletkin-pg-") as folder:
        if user:
            shutil.chown(folder, "postgres")
        data, port = f"{folder}/data", free_port()
        subprocess.run(
            [initdb, "-D", data, "-U", "walletkin", "--auth=trust", "--no-sync", "-E", "UTF8"],
            check=True, capture_output=True, cwd=folder, **user,
        )  # fmt: skip
        options = ["-k", folder, "-h", "127.0.0.1", "-p", str(port), "-F", "-c", "max_connections=200"]
        process = subprocess.Popen(
            [server, "-D", data, *options], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **user
        )
        try:
            url = f"postgresql://walletkin@127.0.0.1:{port}/postgres"
            _wait_for_postgres(url)
            yield url
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(20)


def _wait_for_postgres(url: str, seconds: float = 30) -> None:
    """Wait until the server takes connections: it listens before it does."""
    end = time.monotonic() + seconds
    while True:
        try:
            psycopg.connect(url).close()
            return
        except psycopg.OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


class RedisServer:
    """A Redis server of its own on a free port, which may be stopped and started again; it keeps nothing on disk."""

    def __init__(self, program: str, folder: str):
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._command = [program, "--port", str(self.port), "--dir", folder, "--save", "", "--appendonly", "no"]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        wait_for_port(self.port)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None


@contextlib.contextmanager
def redis_server() -> Iterator[RedisServer]:
    """Run a Redis server for the block."""
    program = _program("redis-server", "/usr/bin/redis-server")
    if program is None:
        missing("there is no redis-server on this machine")
        return
    with tempfile.TemporaryDirectory(prefix="walletkin-redis-") as folder:
        server = RedisServer(program, folder)
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


def wait_for_port(port: int, seconds: float = 20) -> None:
    """Wait until something listens on a port of this machine."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise TimeoutError(f"nothing listens on port {port}")


def demo_environ(chain_url: str, seed: int) -> dict[str, str]:
    """Return the environment in which the program reads a made-up chain as fast as it can, as the demo does."""
    return {
        "WALLETKIN_SOLANA_RPC_URL": chain_url,
        "WALLETKIN_DEXSCREENER_URL": chain_url,
        "WALLETKIN_JUPITER_URL": chain_url,
        "WALLETKIN_RPC_REQUESTS_PER_S": "100000",
        "WALLETKIN_SIMULATOR_SEED": str(seed),
    }


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
        end = time.monotonic() + 30
        while time.monotonic() < end:
            with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(f"{self.url}/healthz"):
                return
            time.sleep(0.05)
        raise TimeoutError(f"the web process did not start: {self.log('web')}")

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Send a signal to a process and all it started, and wait for its end."""
        process = self.processes.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        process.wait(15)

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
