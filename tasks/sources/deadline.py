"""Connections that give up on an answer whose head does not come to an end: a line every few seconds is no silence, and
outlasts every other time limit. Sends nothing by itself; how long a body may take is `http.py`'s.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

HEAD_WITHIN_S = 30.0


class _Impatient:
    """Cuts the connection when the head of an answer takes longer than `HEAD_WITHIN_S`."""

    sock: Any

    def getresponse(self) -> Any:
        timer = threading.Timer(HEAD_WITHIN_S, self._cut)
        timer.daemon = True
        timer.start()
        try:
            return super().getresponse()  # type: ignore[misc]  # urllib3's, beside which this stands
        finally:
            timer.cancel()

    def _cut(self) -> None:
        with contextlib.suppress(OSError, AttributeError):
            self.sock.shutdown(socket.SHUT_RDWR)


class _Connection(_Impatient, HTTPConnection):
    pass


class _SecureConnection(_Impatient, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class ImpatientAdapter(HTTPAdapter):
    """requests' own adapter, with connections that cut themselves off."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
