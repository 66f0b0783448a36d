"""Makes gunicorn's master log like the other processes (`--logger-class` in the Procfile).

Not in `webapp`: the master forks, and must import little that its children would inherit.
"""

from __future__ import annotations

import contextlib

from gunicorn.glogging import Logger

from tasks import logs
from tasks.errors import SettingsError
from tasks.settings import read_settings


class GunicornLogger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's logger, with its error lines formatted by `tasks/logs.py`."""

    def setup(self, cfg: object) -> None:
        super().setup(cfg)
        with contextlib.suppress(SettingsError):  # the worker reports it in one line
            logs.configure(read_settings())
