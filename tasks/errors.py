"""The errors that rooms raise to each other. How a person sees them is decided elsewhere (`webapp/errors.py`)."""

from __future__ import annotations

LONGEST_MESSAGE = 500


class WalletkinError(Exception):
    """Anything that went wrong in a way the program foresaw; its text is a sentence for a person."""


class SettingsError(WalletkinError):
    """A setting has a value that cannot be used; the text names the setting."""


class InputError(WalletkinError):
    """One row of what a person sent cannot be used.

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
    """The request makes sense, but not in the state that things are in."""


class Busy(WalletkinError):
    """There is too much to do already; `retry_after_s` is when asking again may help."""

    def __init__(self, message: str, retry_after_s: int):
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Stalled(WalletkinError):
    """Work of ours was ended because nothing came of it any more; it may be tried again."""


class SourceError(WalletkinError):
    """An outside service did not give what was asked.

    `permanent` errors are never tried again; for the others `retry_after_s` is the wait that the service asked
    for, or None when it named none.
    """

    def __init__(self, source: str, message: str, *, permanent: bool, retry_after_s: float | None = None):
        # What a service sends may be part of it, and a database may refuse what cannot be printed.
        super().__init__("".join(letter if letter.isprintable() else "?" for letter in message[:LONGEST_MESSAGE]))
        self.source = source
        self.permanent = permanent
        self.retry_after_s = retry_after_s
