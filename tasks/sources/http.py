"""One HTTP request for JSON, its faults sorted into temporary and permanent. Callers retry and limit the rate.

Error texts never hold a URL, because its query or path may carry an API key.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import socket
import threading
import time
import weakref
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson
import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util import Retry

from tasks import metrics
from tasks.errors import SourceError

MEGABYTE = 1024 * 1024
RETRY_AFTER_CAP_S = 120
CHUNK_BYTES = 64 * 1024
LONGEST_INTEGER = 1000
SECRET_LENGTH = 8  # shorter parts of a URL (v1, solana) are words, not keys

# urllib3 logs every path with its query on DEBUG, and with it the API key.
logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)

_MISUSE = (
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidURL,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidHeader,
)
_LATE = (requests.Timeout, urllib3.exceptions.ReadTimeoutError)
_DROPPED = (requests.exceptions.ChunkedEncodingError, urllib3.exceptions.ProtocolError)
_GARBLED = (requests.exceptions.ContentDecodingError, urllib3.exceptions.DecodeError)
_REASONS = {403: "403: access is blocked", 413: "413: the request was too large"}


class HttpError(SourceError):
    """The service answered with a `status` other than 2xx. `answer`: the JSON of the body, None if unreadable."""

    def __init__(
        self,
        source: str,
        message: str,
        *,
        status: int,
        answer: object = None,
        permanent: bool,
        retry_after_s: float | None = None,
    ):
        super().__init__(source, message, permanent=permanent, retry_after_s=retry_after_s)
        self.status = status
        self.answer = answer


class AnswerTooLarge(SourceError):
    """The decompressed body exceeded the limit. Temporary: a smaller request may succeed."""


class Http:
    """JSON client of one service. Thread-safe: each thread has its own connections, kept open between calls.

    `source` is the errors' source, `label` begins their texts. Bodies are read up to `max_bytes`; `timeout` is (seconds
    to connect, seconds of silence); a whole answer may take `deadline_s`.
    """

    def __init__(
        self,
        source: str,
        *,
        label: str | None = None,
        max_bytes: int = 8 * MEGABYTE,
        timeout: tuple[float, float] = (5.0, 30.0),
        deadline_s: float = 120.0,
    ):
        self.source = source
        self.label = label or source
        self.max_bytes = max_bytes
        self.timeout = timeout
        self.deadline_s = deadline_s
        self._local = threading.local()
        self._sessions: weakref.WeakSet[requests.Session] = weakref.WeakSet()
        self._lock = threading.Lock()

    def get(
        self, url: str, *, params: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        """GET `url` and return the parsed JSON, of any type.

        Raises `HttpError` for a status other than 2xx, redirects included, and `SourceError` for any other fault.
        """
        return self._exchange("GET", url, params=params, headers=headers)

    def post(self, url: str, payload: object, *, headers: Mapping[str, str] | None = None) -> Any:
        """POST `payload` as JSON and return the parsed JSON of the answer; errors as for `get`."""
        wanted = {"Content-Type": "application/json", **(headers or {})}
        return self._exchange("POST", url, data=orjson.dumps(payload), headers=wanted)

    def close(self) -> None:
        """Close the idle connections of all threads. The next call opens new ones."""
        with self._lock:
            for session in list(self._sessions):
                session.close()

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            session.mount("http://", DeadlineAdapter())
            session.mount("https://", DeadlineAdapter())
            session.headers.update({"Accept": "application/json", "User-Agent": "walletkin"})
            with self._lock:
                self._sessions.add(session)
        return session

    def _exchange(self, method: str, url: str, **options: Any) -> Any:
        until = time.monotonic() + self.deadline_s
        outcome = "no answer"
        try:
            with self._session().request(
                method, url, stream=True, allow_redirects=False, timeout=self.timeout, **options
            ) as response:
                outcome = _outcome(response.status_code)
                if not 200 <= response.status_code < 300:
                    raise self._refusal(response, until)
                return self._parsed(self._body(response, self.max_bytes, until), response)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            fault = self._fault(error)
        finally:
            metrics.add("source_calls", self.source, outcome)
        # Raised outside the handler, so that the library's error, whose text holds the whole URL, is not chained.
        raise fault

    def _body(self, response: requests.Response, cap: int, until: float) -> bytes:
        """Read and decompress the body. `read1` returns what has arrived, so a trickle cannot outlast the deadline."""
        body = bytearray()
        while chunk := response.raw.read1(CHUNK_BYTES, decode_content=True):
            body += chunk
            if len(body) > cap:
                message = f"{self.label} answered with more than {cap / MEGABYTE:.3g} MB"
                raise AnswerTooLarge(self.source, message, permanent=False)
            if time.monotonic() > until:
                raise self._temporary("did not finish its answer in time")
        return bytes(body)

    def _parsed(self, body: bytes, response: requests.Response) -> Any:
        try:
            return parse_json(body)
        except ValueError:
            kind = response.headers.get("Content-Type", "").partition(";")[0].strip()[:40]
        if "json" in kind or not kind:
            raise self._temporary("answered with something that is not JSON, or only with a part of it")
        raise self._temporary(f"answered with something that is not JSON ({kind})")

    def _refusal(self, response: requests.Response, until: float) -> HttpError:
        status = response.status_code
        text = _REASONS.get(status, str(status))
        if 300 <= status < 400:
            text += ", a redirect, which is not followed"
        return HttpError(
            self.source,
            f"{self.label} answered {text}",
            status=status,
            answer=self._error_json(response, until),
            permanent=400 <= status < 500 and status not in (408, 425, 429),
            retry_after_s=retry_after_s(response.headers.get("Retry-After")),
        )

    def _error_json(self, response: requests.Response, until: float) -> object:
        """Return the JSON of an error response; None if unreadable, since the status is enough."""
        try:
            return parse_json(self._body(response, CHUNK_BYTES, until))
        except (SourceError, ValueError, requests.RequestException, urllib3.exceptions.HTTPError):
            return None

    def _fault(self, error: Exception) -> SourceError:
        cause = error.args[0] if error.args else None
        if isinstance(error, _MISUSE):
            return SourceError(self.source, f"{self.label} has an address that cannot be used", permanent=True)
        for kinds, text in (
            (_LATE, "did not answer in time"),
            (_DROPPED, "dropped the connection"),
            (_GARBLED, "sent a body that cannot be unpacked"),
        ):
            if isinstance(error, kinds) or isinstance(cause, kinds):
                return self._temporary(text)
        return self._temporary("could not be reached")

    def _temporary(self, text: str) -> SourceError:
        return SourceError(self.source, f"{self.label} {text}", permanent=False)


def _outcome(status: int) -> str:
    """Return the label under which a call is counted; a fixed few, so that a service cannot add more."""
    if 200 <= status < 300:
        return "answered"
    return "429" if status == 429 else "refused"


def parse_json(body: bytes) -> Any:
    """Parse JSON, also with invalid or huge numbers (NaN, 1e400, hundreds of digits), so that one bad number does not
    spoil an answer. Strings may hold lone surrogates. `ValueError` if it cannot be parsed.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        try:
            return json.loads(body, parse_int=_read_integer)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


def _read_integer(text: str) -> int | float:
    """Return an integer; infinity for one so long that Python refuses to print it, or takes long."""
    return int(text) if len(text) <= LONGEST_INTEGER else math.inf


def retry_after_s(header: str | None) -> float | None:
    """Read a Retry-After header, seconds or an HTTP date, as 0 to 120 s; None if missing or unreadable."""
    if header is None:
        return None
    try:
        return float(Retry(retry_after_max=RETRY_AFTER_CAP_S).parse_retry_after(header))
    except (urllib3.exceptions.InvalidHeader, ValueError, OverflowError):
        return None


def host_of(url: str) -> str:
    """Return the host of a URL, the only part that may be shown or logged; "" if it has none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def redact(text: str, url: str) -> str:
    """Remove from `text` what could be a key in `url`: query values, user, password and long parts of the path."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return text
    secrets = [value for _, value in parse_qsl(parts.query)] + parts.path.split("/")
    secrets += [parts.username or "", parts.password or ""]
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= SECRET_LENGTH:
            text = text.replace(secret, "…")
    return text


HEAD_WITHIN_S = 30.0


class _HeadDeadline:
    """Closes the connection if the head of an answer takes longer than `HEAD_WITHIN_S`."""

    sock: Any

    def getresponse(self) -> Any:
        timer = threading.Timer(HEAD_WITHIN_S, self._cut)
        timer.daemon = True
        timer.start()
        try:
            return super().getresponse()  # type: ignore[misc]  # of urllib3's class beside this one
        finally:
            timer.cancel()

    def _cut(self) -> None:
        with contextlib.suppress(OSError, AttributeError):
            self.sock.shutdown(socket.SHUT_RDWR)


class _Connection(_HeadDeadline, HTTPConnection):
    pass


class _SecureConnection(_HeadDeadline, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class DeadlineAdapter(HTTPAdapter):
    """The adapter of requests, with connections that keep `HEAD_WITHIN_S`."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
