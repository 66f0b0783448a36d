"""The `walletkin` command: migrate, doctor, worker, backup, copy-data, simulator.

An error is one line. Exit codes: 0 done, 2 something must be fixed first (the line says what).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pathlib
import socket
import sys
from collections.abc import Sequence

from tasks.errors import SettingsError
from tasks.settings import FORESEEN, Settings, configure, explain, read_settings

PATIENCE_S = 5  # how long the doctor waits for a server that does not answer
WORKER_OPTIONS = {
    "worker_type": "thread",
    "initial_delay": 0.05,
    "max_delay": 0.25,
    "backoff": 1.15,
    "shutdown_timeout": 4,
    "graceful_signal": "TERM",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; a foreseen error is one line on standard error."""
    options = _parser().parse_args(arguments)
    try:
        settings = configure(read_settings())
        options.run(settings, options)
    except FORESEEN as error:
        print(f"walletkin: {explain(error)}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="walletkin", description="Finds Solana wallets that move together.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("migrate", help="bring the database up to this version").set_defaults(run=_migrate)
    doctor = commands.add_parser("doctor", help="check settings, data folder, database and ports before a start")
    doctor.set_defaults(run=_doctor)
    worker = commands.add_parser("worker", help="do the background work of one queue")
    worker.add_argument("queue", choices=("pipeline", "enrichment"))
    worker.set_defaults(run=_worker)
    backup = commands.add_parser("backup", help="write a copy of the embedded database, while everything goes on")
    backup.add_argument("file", type=pathlib.Path, help="the new file")
    backup.set_defaults(run=_backup)
    copy = commands.add_parser("copy-data", help="copy an embedded database into an empty one of PostgreSQL")
    copy.add_argument("source", nargs="?", type=pathlib.Path, help="the SQLite file [walletkin.db in the data folder]")
    copy.set_defaults(run=_copy_data)
    simulator = commands.add_parser("simulator", help="serve a made-up chain and market")
    simulator.add_argument("--latency-ms", type=int, default=0, help="wait before every answer")
    simulator.add_argument("--market-latency-ms", type=int, default=250, help="and before one of the market's")
    simulator.set_defaults(run=_simulator)
    return parser


def _migrate(settings: Settings, options: argparse.Namespace) -> None:
    from tasks.storage import database

    database.open_database(settings)
    for step in database.migrate():
        print(f"migrated: {step}")


def _backup(settings: Settings, options: argparse.Namespace) -> None:
    from tasks.operations.backup import back_up
    from tasks.storage import database

    database.open_database(settings)
    written = back_up(options.file.absolute())
    print(f"backed up: {options.file}, {written:,} bytes")


def _copy_data(settings: Settings, options: argparse.Namespace) -> None:
    from tasks.operations import copy_to_postgres

    source = options.source or settings.data_dir / "walletkin.db"
    copy_to_postgres.copy_data(
        source, settings, lambda table, count: print(f"copied and compared: {table}, {count:,} rows")
    )


def _doctor(settings: Settings, options: argparse.Namespace) -> None:
    """Check all that a start needs, so that an error is reported once, before any process starts."""
    _check_folder(settings.data_dir)
    _check_ports(settings)
    _check_redis(settings)
    os.environ.setdefault("PGCONNECT_TIMEOUT", str(PATIENCE_S))
    _migrate(settings, options)
    kind = "made-up chain" if settings.is_demo else f"chain read at {settings.rpc_requests_per_s:g} transactions/s"
    print(f"Walletkin: open http://{settings.bind} ({kind}; Ctrl-C ends everything)", flush=True)


def _check_folder(folder: pathlib.Path) -> None:
    probe = folder / f".probe-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise SettingsError(f"The data folder {folder} cannot be written to: {error.strerror}.") from None


def _check_ports(settings: Settings) -> None:
    """Bind every port to be used, all at once, so that two settings with the same port are found too."""
    if settings.is_demo and settings.bind == settings.simulator_bind:
        raise SettingsError(
            f"WALLETKIN_BIND and WALLETKIN_SIMULATOR_BIND are both {settings.bind}; change one of them."
        )
    with contextlib.ExitStack() as taken:
        _take_port(taken, "WALLETKIN_BIND", settings.bind)
        if settings.is_demo:
            _take_port(taken, "WALLETKIN_SIMULATOR_BIND", settings.simulator_bind)


def _take_port(taken: contextlib.ExitStack, name: str, bind: str) -> None:
    host, _, port = bind.rpartition(":")
    try:
        family, _, _, _, address = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
        probe = taken.enter_context(socket.socket(family, socket.SOCK_STREAM))
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        probe.listen()  # without it Linux would let a second socket have the same port
    except OSError as error:
        raise SettingsError(f"{bind} cannot be used ({error.strerror}); choose another with {name}.") from None


def _check_redis(settings: Settings) -> None:
    if not settings.redis_url:
        return
    import redis

    try:
        with redis.Redis.from_url(settings.redis_url, socket_connect_timeout=PATIENCE_S) as client:
            client.ping()
    except redis.RedisError:
        raise SettingsError("Redis at WALLETKIN_REDIS_URL does not answer; start it, or unset the variable.") from None


def _worker(settings: Settings, options: argparse.Namespace) -> None:
    """Work on one queue until stopped; TERM lets running slices end within four seconds."""
    from tasks import logs
    from tasks.jobs.queues import QUEUES
    from tasks.worker import start

    logs.configure(settings)
    start(options.queue)
    QUEUES[options.queue].create_consumer(workers=settings.workers, **WORKER_OPTIONS).run()


def _simulator(settings: Settings, options: argparse.Namespace) -> None:
    from tasks.simulator import server
    from tasks.simulator.faults import Faults
    from tasks.simulator.world import scenario

    host, _, port = settings.simulator_bind.rpartition(":")
    try:
        server.serve(
            host.strip("[]"),
            int(port),
            scenario.Scenario(seed=settings.simulator_seed or 0),
            Faults(latency_ms=options.latency_ms, market_latency_ms=options.market_latency_ms),
            announce=lambda url: print(f"simulator: {url}", flush=True),
        )
    except OSError as error:
        raise SettingsError(f"{settings.simulator_bind} cannot be used: {error.strerror}.") from None


if __name__ == "__main__":
    sys.exit(main())
