"""Shared by the WSGI middleware: types, and a response head that is held back until its body is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


class BufferedResponse:
    """Holds the head of an answer back until it is known whether, and with what, it is sent."""

    def __init__(self) -> None:
        self.status, self.headers = "", list[tuple[str, str]]()
        self.written: list[bytes] = []
        """What the application wrote before its body, which WSGI allows."""

    def start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], None]:
        """Stand in for the server's `start_response`."""
        self.status, self.headers = status, headers
        return self.written.append

    def send(self, start_response: Callable[..., Any]) -> None:
        """Send the head and what was written; the body follows."""
        write = start_response(self.status, self.headers)
        for data in self.written:
            write(data)

    @property
    def is_stream(self) -> bool:
        """Whether the length of the body is unknown."""
        bodiless = self.status.startswith(("1", "204", "304"))
        return not bodiless and not any(name.lower() == "content-length" for name, _ in self.headers)


def close(body: Iterable[bytes]) -> None:
    """Close a body that is not read further, as WSGI requires."""
    if (end := getattr(body, "close", None)) is not None:
        end()
