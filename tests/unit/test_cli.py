"""The command: what is wrong before a start is one clear line, and the exit code is not 0."""

from __future__ import annotations

import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import pytest

from tests import servers

ROOT = pathlib.Path(__file__).resolve().parents[2]


def walletkin(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tasks.cli", *arguments]
    given = {f"WALLETKIN_{name}": value for name, value in environ.items()}
    path = {"PATH": os.environ["PATH"]}
    return subprocess.run(command, cwd=ROOT, env=path | given, capture_output=True, text=True, timeout=60)


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


def test_a_worker_stops_quickly_when_told_to(tmp_path: pathlib.Path) -> None:
    running = servers.Program(tmp_path, {})
    process = running.start("pipeline")
    time.sleep(2)
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert time.monotonic() - started < 8
    assert "Traceback" not in running.log("pipeline")
