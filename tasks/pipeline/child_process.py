"""A second Python process for work that would block this one: start it, exchange messages with it, end it.

Messages are pickles over its standard input and output. `multiprocessing` was tried: see docs/decisions/results.md.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


class ChildProcess:
    """Runs a module of this program as a process; the end of the `with` block kills it.

    The process has a session of its own, so that stopping the group of this process does not stop the work at once.
    `last_message_at` (monotonic seconds) is when it last sent something, at first when it was started.
    """

    def __init__(self, module: str):
        self._module = module
        self._received: list[Any] = []
        self._reader = threading.Thread(target=self._receive, name=module, daemon=True)

    def __enter__(self) -> ChildProcess:
        self.process = subprocess.Popen(
            [sys.executable, "-m", self._module],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, start_new_session=True,
        )  # fmt: skip
        self.last_message_at = time.monotonic()
        self._reader.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.process.kill()
        self._reader.join()
        self.process.wait()
        self.close_input()
        self.process.stdout.close()  # type: ignore[union-attr]  # opened as a pipe

    def send(self, message: Any) -> None:
        """Send a message. A process that has ended loses it; the missing answer shows that."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            pickle.dump(message, self.process.stdin, pickle.HIGHEST_PROTOCOL)
            self.process.stdin.flush()

    def close_input(self) -> None:
        """Close its standard input, which ends the messages to it."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()  # type: ignore[union-attr]  # opened as a pipe

    def exit_code(self, timeout_s: float) -> int | None:
        """Wait for its end, at most `timeout_s`; return its exit code, None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.process.wait(timeout_s)
        return None

    def received(self) -> list[Any]:
        """Wait until it has closed its output, and return all its messages in order."""
        self._reader.join()
        return self._received

    def _receive(self) -> None:
        """Read messages as they come: a full pipe would block the process."""
        assert self.process.stdout is not None
        with contextlib.suppress(EOFError, pickle.UnpicklingError):
            while True:
                self._received.append(pickle.load(self.process.stdout))
                self.last_message_at = time.monotonic()


def stdout_writer() -> Callable[[Any], None]:
    """Return the function with which a child sends a message; what it prints goes to standard error from now on."""
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def send(message: Any) -> None:
        pickle.dump(message, out, pickle.HIGHEST_PROTOCOL)
        out.flush()

    return send
