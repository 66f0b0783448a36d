"""The command: what is wrong before a start is one clear line, and the exit code is not 0."""

from __future__ import annotations

import os
import pathlib
import signal
import socket
import subprocess
import sys

import pytest
from peewee import OperationalError

from tasks import settings
from tests.support import servers
from tests.support.servers import ROOT
from tests.support.waiting import HANG_S, until


def walletkin(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tasks.cli", *arguments]
    given = {f"WALLETKIN_{name}": value for name, value in environ.items()}
    path = {"PATH": os.environ["PATH"]}
    return subprocess.run(command, cwd=ROOT, env=path | given, capture_output=True, text=True, timeout=HANG_S)


def only_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 2
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_a_doctor_who_finds_nothing_prints_the_address(tmp_path: pathlib.Path) -> None:
    bind = f"127.0.0.1:{servers.free_port()}"
    done = walletkin("doctor", DATA_DIR=str(tmp_path / "new" / "var"), BIND=bind)
    assert done.returncode == 0, done.stderr
    assert f"http://{bind}" in done.stdout


def test_a_taken_port_is_named(tmp_path: pathlib.Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        line = only_line(walletkin("doctor", DATA_DIR=str(tmp_path), BIND=bind))
    assert bind in line
    assert "WALLETKIN_BIND" in line


def test_a_taken_simulator_port_is_named(tmp_path: pathlib.Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        simulator = f"127.0.0.1:{taken.getsockname()[1]}"
        free = f"127.0.0.1:{servers.free_port()}"
        settings = {"DATA_DIR": str(tmp_path), "BIND": free, "SIMULATOR_SEED": "7", "SIMULATOR_BIND": simulator}
        assert "WALLETKIN_SIMULATOR_BIND" in only_line(walletkin("doctor", **settings))
        assert simulator in only_line(walletkin("simulator", **settings))


@pytest.mark.parametrize("command", [("doctor",), ("worker", "pipeline")])
def test_a_data_folder_that_cannot_be_made_is_named(tmp_path: pathlib.Path, command: tuple[str, ...]) -> None:
    (tmp_path / "var").write_text("a file, not a folder")
    bind = f"127.0.0.1:{servers.free_port()}"
    line = only_line(walletkin(*command, DATA_DIR=str(tmp_path / "var" / "demo"), BIND=bind))
    assert str(tmp_path / "var") in line


@pytest.mark.parametrize("command", [("doctor",), ("worker", "enrichment"), ("migrate",)])
def test_a_wrong_setting_is_named(tmp_path: pathlib.Path, command: tuple[str, ...]) -> None:
    line = only_line(walletkin(*command, DATA_DIR=str(tmp_path), HISTORY_LIMIT="lots"))
    assert "WALLETKIN_HISTORY_LIMIT" in line


def test_a_redis_that_does_not_answer_is_named(tmp_path: pathlib.Path) -> None:
    bind = f"127.0.0.1:{servers.free_port()}"
    url = f"redis://127.0.0.1:{servers.free_port()}/0"
    assert "WALLETKIN_REDIS_URL" in only_line(walletkin("doctor", DATA_DIR=str(tmp_path), BIND=bind, REDIS_URL=url))


def test_one_bind_for_web_and_simulator_is_named(tmp_path: pathlib.Path) -> None:
    port = servers.free_port()
    for simulator in (f"127.0.0.1:{port}", f"localhost:{port}", f"0.0.0.0:{port}"):
        settings = {"SIMULATOR_SEED": "7", "SIMULATOR_BIND": simulator, "BIND": f"127.0.0.1:{port}"}
        line = only_line(walletkin("doctor", DATA_DIR=str(tmp_path), **settings))
        assert simulator in line
        assert "WALLETKIN_SIMULATOR_BIND" in line


COMMANDS = [("doctor",), ("migrate",), ("worker", "pipeline")]


def unreachable() -> str:
    return f"postgresql://walletkin:hunter2@127.0.0.1:{servers.free_port()}/walletkin"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_postgresql_that_does_not_answer_is_named(tmp_path: pathlib.Path, command: tuple[str, ...]) -> None:
    bind = f"127.0.0.1:{servers.free_port()}"
    line = only_line(walletkin(*command, DATA_DIR=str(tmp_path), BIND=bind, DATABASE_URL=unreachable()))
    assert "WALLETKIN_DATABASE_URL" in line
    assert "hunter2" not in line


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", ["no database", "a folder"])
def test_a_database_file_that_is_none_is_named(tmp_path: pathlib.Path, command: tuple[str, ...], kind: str) -> None:
    path = tmp_path / "walletkin.db"
    path.mkdir() if kind == "a folder" else path.write_text("this is a letter, not a database\n" * 40)
    bind = f"127.0.0.1:{servers.free_port()}"
    assert str(path) in only_line(walletkin(*command, DATA_DIR=str(tmp_path), BIND=bind))


def test_a_queue_file_that_is_no_database_is_named(tmp_path: pathlib.Path) -> None:
    (tmp_path / "queue.db").write_text("this is a letter, not a database\n" * 40)
    assert str(tmp_path / "queue.db") in only_line(walletkin("worker", "pipeline", DATA_DIR=str(tmp_path)))


@pytest.mark.parametrize("url", ["postgresql://u:hunter2@h/x", "postgresql://u:hunter%32@h/x"])
def test_what_a_driver_says_is_left_out_where_it_holds_the_password(url: str) -> None:
    settings.configure(settings.read_settings({"WALLETKIN_DATABASE_URL": url}))
    assert "refused" in settings.explain(OperationalError("refused\nmore"))
    assert "more" not in settings.explain(OperationalError("refused\nmore"))
    assert settings.explain(OperationalError("bad word hunter2")) == (
        "The database at WALLETKIN_DATABASE_URL cannot be used."
    )


def catches_sigterm(pid: int) -> bool:
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)


def test_a_worker_stops_without_an_error_on_sigterm(tmp_path: pathlib.Path) -> None:
    running = servers.Program(tmp_path, {})
    process = running.start("pipeline")
    # Until then the signal itself would end it.
    until(lambda: catches_sigterm(process.pid), "the worker to catch SIGTERM")
    process.send_signal(signal.SIGTERM)
    assert process.wait(HANG_S) == 0
    assert "Traceback" not in running.log("pipeline")
