"""The settings: one frozen dataclass, read once from the environment. Reads nothing else and starts nothing.

Every variable is prefixed `WALLETKIN_`. A value that cannot be used raises `SettingsError`, whose one line names the
variable and what it accepts.
"""

from __future__ import annotations

import math
import os
import pathlib
import secrets
import sqlite3
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TypeVar

from peewee import PeeweeException

from tasks.errors import SettingsError, WalletkinError

PREFIX = "WALLETKIN_"
PUBLIC_RPC_URL = "https://api.mainnet-beta.solana.com"
LOGO_HOSTS = "cdn.dexscreener.com,dd.dexscreener.com"
DATABASES = "sqlite:///path or postgresql://user@host/name"
LOG_LEVELS, LOG_FORMATS = ("debug", "info", "warning", "error"), ("auto", "json", "text")
SOURCES = ("dexscreener", "jupiter")
T = TypeVar("T")


@dataclass(frozen=True)
class Settings:
    """What the operator chose. Times in seconds, rates per second; see the table in the README."""

    data_dir: pathlib.Path
    database_url: str
    redis_url: str | None
    operator_token: str | None
    bind: str
    web_threads: int
    workers: int
    trusted_hosts: tuple[str, ...]
    proxy_hops: int
    solana_rpc_url: str
    rpc_requests_per_s: float
    max_transaction_version: int
    history_limit: int
    sync_ttl_s: int
    max_wallets: int
    max_waiting_jobs: int
    analyses_per_hour: int
    posts_per_minute: int
    reads_per_minute: int
    dexscreener_url: str
    jupiter_url: str
    jupiter_api_key: str | None
    source_order: tuple[str, ...]
    price_ttl_s: int
    refresh_every_s: int
    logo_hosts: tuple[str, ...]
    keep_days: int
    log_level: str
    log_format: str
    simulator_seed: int | None
    simulator_bind: str
    given_secret_key: str | None

    @cached_property
    def secret_key(self) -> str:
        """The key that signs cookies: the given one, otherwise one made once in the data folder with mode 600."""
        return self.given_secret_key or _kept_secret(self.data_dir / "secret_key")

    @property
    def queue_path(self) -> pathlib.Path:
        """Where the embedded queues lie, apart from the database so that neither waits for the other's lock."""
        return self.data_dir / "queue.db"

    @property
    def is_demo(self) -> bool:
        """Whether the data are made up by the simulator."""
        return self.simulator_seed is not None

    @property
    def host(self) -> str:
        return self.bind.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.bind.rpartition(":")[2])


@dataclass(frozen=True)
class Timing:
    """How long this process waits, in seconds; not for operators, so not a setting and not in the README.

    `WALLETKIN_TIMING=fast` makes each a tenth, for system tests of real processes: give it to every process of a test.
    A test changes single values of its own process with `tests.conftest.set_timing(monkeypatch, lease_s=0.2)`.
    """

    slice_s: float = 3.0  # a job's work at a time
    lease_s: float = 60.0
    renew_every_s: float = 15.0
    retry_s: float = 2.0  # after a job's first failed attempt, doubled each time
    longest_retry_s: float = 60.0
    database_back_s: float = 2.0  # a killed server is usually back about then
    unannounced_s: float = 60.0  # a missing message is not on its way any more
    just_submitted_s: float = 5.0  # a younger job is being announced by the process that submitted it
    long_wait_s: float = 3600.0  # then a job is raised by a tier
    enrichment_grace_s: float = 15.0  # as unannounced_s; enrichment jobs are few, so looking often costs little
    token_retry_s: float = 2.0  # after a token's first failed attempt, tripled each time
    heartbeat_every_s: float = 15.0
    silent_s: float = 45.0  # three heartbeats missed: the process is taken for dead
    stuck_s: float = 120.0  # a job has waited for so long while no worker of its queue did anything
    child_silent_s: float = 600.0  # a computing child process without progress is ended
    cache_away_s: float = 5.0  # the token cache tries Redis again after
    counter_away_s: float = 10.0  # the limits per client try Redis again after


def _read_timing(environ: Mapping[str, str]) -> Timing:
    whole = Timing()
    if environ.get(PREFIX + "TIMING") != "fast":
        return whole
    return Timing(**{name: seconds / 10 for name, seconds in asdict(whole).items()})


_timing = _read_timing(os.environ)


def timing() -> Timing:
    """Return the timing of this process."""
    return _timing


_current: Settings | None = None


def configure(settings: Settings) -> Settings:
    """Make these the settings of this process and return them; the web app, the CLI and the tests do so once."""
    global _current
    _current = settings
    return settings


def current() -> Settings:
    """Return the settings of this process. Raises RuntimeError before `configure`."""
    if _current is None:
        raise RuntimeError("The settings are not configured yet.")
    return _current


FORESEEN = (WalletkinError, PeeweeException, sqlite3.Error)
"""What can be wrong with settings, database or queue when a process starts; `explain` says it in one line."""


def explain(error: Exception) -> str:
    """Return in one line why a start failed; a driver's message is left out if it contains a password."""
    if isinstance(error, WalletkinError):
        return str(error)
    if isinstance(error, sqlite3.Error):  # peewee wraps its errors, so this one is the queue's
        return f"The queue {current().queue_path} cannot be used: {error}."
    url = current().database_url
    shown = url.removeprefix("sqlite:///") if url.startswith("sqlite") else "at WALLETKIN_DATABASE_URL"
    detail = (str(error).strip().splitlines() or [""])[0].rstrip(".:")
    password = urllib.parse.urlsplit(url).password
    if password and (password in detail or urllib.parse.unquote(password) in detail):
        detail = ""
    return f"The database {shown} cannot be used{f': {detail}' if detail else ''}."


def read_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read every setting from the environment (or the mapping given).

    Raises SettingsError naming the first variable whose value cannot be used.
    """
    read = _EnvReader(os.environ if environ is None else environ)
    data_dir = read("DATA_DIR", "var", lambda text: pathlib.Path(text).absolute(), "a folder")
    rpc_url = read("SOLANA_RPC_URL", PUBLIC_RPC_URL, _http_url, "an http(s) address")
    public = urllib.parse.urlsplit(rpc_url).hostname == urllib.parse.urlsplit(PUBLIC_RPC_URL).hostname
    return Settings(
        data_dir=data_dir,
        database_url=read("DATABASE_URL", f"sqlite:///{data_dir}/walletkin.db", _database_url, DATABASES),
        redis_url=read("REDIS_URL", None, _redis_url, "redis:// or rediss://"),
        operator_token=read("OPERATOR_TOKEN", None, _token, "at least 16 letters"),
        bind=read("BIND", "127.0.0.1:8000", _bind, "host:port"),
        web_threads=read("WEB_THREADS", "8", _integer(1, 256), "a whole number from 1 to 256"),
        workers=read("WORKERS", "4", _integer(1, 64), "a whole number from 1 to 64"),
        trusted_hosts=read("TRUSTED_HOSTS", "", _names, "host names separated by commas"),
        proxy_hops=read("PROXY_HOPS", "0", _integer(0, 10), "a whole number from 0 to 10"),
        solana_rpc_url=rpc_url,
        rpc_requests_per_s=read("RPC_REQUESTS_PER_S", "4" if public else "50", _rate, "a number above 0"),
        max_transaction_version=read("MAX_TRANSACTION_VERSION", "1", _integer(0, 255), "a whole number from 0 to 255"),
        history_limit=read("HISTORY_LIMIT", "1000", _integer(1, 1_000_000), "a whole number from 1 to 1000000"),
        sync_ttl_s=read("SYNC_TTL_S", "300", _integer(0, 31_536_000), "seconds, 0 or more"),
        max_wallets=read("MAX_WALLETS", "10000", _integer(2, 100_000), "a whole number from 2 to 100000"),
        max_waiting_jobs=read("MAX_WAITING_JOBS", "50000", _integer(1, 10**7), "a whole number from 1 to 10000000"),
        analyses_per_hour=read("ANALYSES_PER_HOUR", "60", _integer(0, 1_000_000), "a whole number, 0 for no limit"),
        posts_per_minute=read("POSTS_PER_MINUTE", "240", _integer(0, 1_000_000), "a whole number, 0 for no limit"),
        reads_per_minute=read("READS_PER_MINUTE", "1200", _integer(0, 1_000_000), "a whole number, 0 for no limit"),
        dexscreener_url=read("DEXSCREENER_URL", "https://api.dexscreener.com", _http_url, "an http(s) address"),
        jupiter_url=read("JUPITER_URL", "https://api.jup.ag", _http_url, "an http(s) address"),
        jupiter_api_key=read("JUPITER_API_KEY", None, str, "a key"),
        source_order=read("SOURCE_ORDER", "dexscreener,jupiter", _sources, "dexscreener, jupiter or both"),
        price_ttl_s=read("PRICE_TTL_S", "900", _integer(1, 31_536_000), "seconds, 1 or more"),
        refresh_every_s=read("REFRESH_EVERY_S", "600", _integer(1, 31_536_000), "seconds, 1 or more"),
        logo_hosts=read("LOGO_HOSTS", LOGO_HOSTS, _names, "host names separated by commas"),
        keep_days=read("KEEP_DAYS", "90", _integer(1, 36_500), "days, 1 or more"),
        log_level=read("LOG_LEVEL", "info", _one_of(LOG_LEVELS), "debug, info, warning or error"),
        log_format=read("LOG_FORMAT", "auto", _one_of(LOG_FORMATS), "auto, json or text"),
        simulator_seed=read("SIMULATOR_SEED", None, _integer(0, 2**31 - 1), "a whole number, 0 or more"),
        simulator_bind=read("SIMULATOR_BIND", "127.0.0.1:8899", _bind, "host:port"),
        given_secret_key=read("SECRET_KEY", None, _token, "at least 16 letters"),
    )


class _EnvReader:
    """Reads one variable: absent or blank takes the default, anything unreadable names itself."""

    def __init__(self, environ: Mapping[str, str]):
        self.environ = environ

    def __call__(self, name: str, default: str | None, parse: Callable[[str], T], accepts: str) -> T:
        text = self.environ.get(PREFIX + name, "").strip() or default
        if text is None:
            return None  # type: ignore[return-value]  # the field's type says that it may be absent
        try:
            return parse(text)
        except ValueError:
            shown = "" if name.endswith(("KEY", "TOKEN", "URL")) else f" ({text[:60]!r} was given)"
            raise SettingsError(f"{PREFIX}{name} must be {accepts}{shown}.") from None


def _integer(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        number = int(text.replace("_", "").replace(",", ""))
        if not low <= number <= high:
            raise ValueError
        return number

    return parse


def _one_of(words: tuple[str, ...]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in words:
            raise ValueError
        return text.lower()

    return parse


def _rate(text: str) -> float:
    number = float(text)
    if not (math.isfinite(number) and 0 < number <= 1_000_000):
        raise ValueError
    return number


def _token(text: str) -> str:
    if len(text) < 16:
        raise ValueError
    return text


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip().lower() for name in text.split(",") if name.strip())


def _sources(text: str) -> tuple[str, ...]:
    names = _names(text)
    if not names or len(set(names)) != len(names) or not set(names) <= set(SOURCES):
        raise ValueError
    return names


def _bind(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or not 1 <= int(port) <= 65535:
        raise ValueError
    return text


def _url_parts(text: str) -> urllib.parse.SplitResult:
    """Split a URL. Raises ValueError also for an invalid port, which would otherwise show only on use."""
    parts = urllib.parse.urlsplit(text)
    if parts.port == 0:
        raise ValueError
    return parts


def _http_url(text: str) -> str:
    parts = _url_parts(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError
    return text.rstrip("/") if not parts.query else text


def _redis_url(text: str) -> str:
    if _url_parts(text).scheme not in ("redis", "rediss", "unix"):
        raise ValueError
    return text


def _database_url(text: str) -> str:
    parts = _url_parts(text)
    if parts.scheme not in ("sqlite", "postgresql", "postgres") or len(parts.path) < 2:
        raise ValueError
    if parts.scheme == "sqlite" and not parts.path.startswith("//"):
        # Where a process was started is not where another one looks.
        return f"sqlite:///{urllib.parse.quote(os.getcwd())}{parts.path}"
    return text


def _kept_secret(path: pathlib.Path) -> str:
    """Read the secret in `path`; make it first where there is none. Two processes starting at once agree on one.

    Raises SettingsError when it can be neither read nor made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _make_secret(path)
        return path.read_text().strip()
    except OSError as error:
        raise SettingsError(f"The secret key {path} cannot be kept: {error.strerror}.") from None


def _make_secret(path: pathlib.Path) -> None:
    made = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    made.touch(mode=0o600)
    try:
        made.write_text(secrets.token_hex(32))
        os.link(made, path)
    except FileExistsError:
        pass  # another process was first
    finally:
        made.unlink()
