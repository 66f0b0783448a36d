"""What the WSGI middleware share: types, and a response head that is kept until its body is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


class BufferedResponse:
    """Keeps the head of an answer until it is known whether, and with what, it is sent."""

    def __init__(self) -> None:
        self.status, self.headers = "", list[tuple[str, str]]()
        self.written: list[bytes] = []
        """What the application wrote before its body, as WSGI lets it."""

    def start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], None]:
        """Stand in for the server's `start_response`."""
        self.status, self.headers = status, headers
        return self.written.append

    def send(self, start_response: Callable[..., Any]) -> None:
        """Tell the server the head, and what was written; the body is to follow."""
        write = start_response(self.status, self.headers)
        for data in self.written:
            write(data)

    @property
    def is_stream(self) -> bool:
        """Whether nobody knows yet how long the body will be."""
        bodiless = self.status.startswith(("1", "204", "304"))
        return not bodiless and not any(name.lower() == "content-length" for name, _ in self.headers)


def close(body: Iterable[bytes]) -> None:
    """Tell a body that nobody reads on, as WSGI wants of whoever takes one."""
    if (end := getattr(body, "close", None)) is not None:
        end()
