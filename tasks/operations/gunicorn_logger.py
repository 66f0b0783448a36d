"""Lets gunicorn's master log as the rest does: `--logger-class tasks.operations.gunicorn_logger.GunicornLogger` (Procfile).

Not in `webapp`, whose import opens queues: the master forks, and would hand what is open on to its children.
"""

from __future__ import annotations

import contextlib

from gunicorn.glogging import Logger

from tasks import logs
from tasks.errors import SettingsError
from tasks.settings import read_settings


class GunicornLogger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's logger, whose lines of errors go through ours."""

    def setup(self, cfg: object) -> None:
        super().setup(cfg)
        with contextlib.suppress(SettingsError):  # the worker says it, in one line
            logs.configure(read_settings())
