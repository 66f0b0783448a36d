"""The errors that modules raise to each other; `webapp/errors.py` turns them into answers."""

from __future__ import annotations

LONGEST_MESSAGE = 500


class WalletkinError(Exception):
    """A foreseen error; its text is a sentence for users."""


class SettingsError(WalletkinError):
    """A setting has a value that cannot be used; the text names the setting."""


class InputError(WalletkinError):
    """A row of the input cannot be used.

    `line` counts from 1 (None when the whole input is meant); `reason` is a sentence that says what to do.
    """

    def __init__(self, reason: str, line: int | None = None):
        super().__init__(reason)
        self.reason = reason
        self.line = line


class NotFound(WalletkinError):
    """There is no such analysis, pair, wallet or job, or it is not this reader's to see."""

    def __init__(self, message: str, code: str = "not_found"):
        super().__init__(message)
        self.code = code


class Conflict(WalletkinError):
    """The request is valid, but not in the present state."""


class Busy(WalletkinError):
    """The queue is full; trying again may help after `retry_after_s`."""

    def __init__(self, message: str, retry_after_s: int):
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Stalled(WalletkinError):
    """Work without progress was stopped; it may be tried again."""


class SourceError(WalletkinError):
    """A request to an outside service failed.

    `permanent` errors are not retried; for the others `retry_after_s` is the wait that the service asked for, or None.
    """

    def __init__(self, source: str, message: str, *, permanent: bool, retry_after_s: float | None = None):
        # What a service sends may be part of it, and a database may refuse what cannot be printed.
        super().__init__("".join(letter if letter.isprintable() else "?" for letter in message[:LONGEST_MESSAGE]))
        self.source = source
        self.permanent = permanent
        self.retry_after_s = retry_after_s
