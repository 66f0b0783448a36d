"""What a line of the log looks like, and what never stands in one."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tasks import logs
from tasks.settings import read_settings

KEY, JOB = "0123456789abcdef" * 2, "fedcba9876543210" * 2
log = logging.getLogger("walletkin.test")
Lines = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def configure() -> Iterator[Callable[..., None]]:
    """Configure the log by some settings; afterwards it is as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level

    def apply(**environ: str) -> None:
        logs.configure(read_settings({f"WALLETKIN_{name}": value for name, value in environ.items()}))

    yield apply
    root.handlers[:], root.level = handlers, level
    logs.without_request()


@pytest.fixture
def lines(configure: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> Lines:
    """Configure, do something, and return the lines that it wrote, read as JSON."""

    def run(work: Callable[[], object], **environ: str) -> list[dict[str, Any]]:
        configure(**environ)
        work()
        return [json.loads(line) for line in capsys.readouterr().err.splitlines()]

    return run


def test_a_line_is_json_where_nobody_looks(lines: Lines) -> None:
    (line,) = lines(lambda: log.info("%s wallets", 3, extra={"endpoint": "home.index"}))
    assert line.pop("timestamp").endswith("Z")
    assert line == {"message": "3 wallets", "level": "info", "logger": "walletkin.test", "endpoint": "home.index"}


def test_words_can_be_asked_for(configure: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    configure(LOG_FORMAT="text")
    log.warning("Redis is away")
    written = capsys.readouterr().err
    assert "Redis is away" in written
    assert not written.startswith("{")
    assert "\x1b" not in written  # no colours into a file


def test_the_level_is_a_setting(lines: Lines) -> None:
    def speak() -> None:
        log.debug("quiet")
        log.info("middle")
        log.error("loud")

    assert [line["message"] for line in lines(speak)] == ["middle", "loud"]
    assert [line["message"] for line in lines(speak, LOG_LEVEL="error")] == ["loud"]
    assert len(lines(speak, LOG_LEVEL="debug")) == 3


def test_a_job_goes_along_for_as_long_as_it_is_worked_on(lines: Lines) -> None:
    def work() -> None:
        with logs.with_job(JOB, "sync", "pipeline"):
            log.info("inside")
        log.info("outside")

    inside, outside = lines(work)
    assert {name: inside[name] for name in ("job_id", "kind", "queue")} == {
        "job_id": JOB, "kind": "sync", "queue": "pipeline"
    }  # fmt: skip
    assert "job_id" not in outside


def test_a_request_goes_along_until_it_is_over(lines: Lines) -> None:
    def work() -> None:
        for request_id in ("a", "b"):
            logs.with_request(request_id)
            log.info("asked")
        logs.without_request()
        log.info("alone")

    assert [line.get("request_id") for line in lines(work)] == ["a", "b", None]


def test_a_failure_brings_its_traceback(lines: Lines) -> None:
    def fail() -> None:
        try:
            raise ValueError(f"no result of {KEY}")
        except ValueError:
            log.exception("it failed")

    (line,) = lines(fail)
    assert "ValueError: no result of …" in line["exception"]
    assert KEY not in json.dumps(line)


@pytest.mark.parametrize(
    "text",
    [KEY, f"/analyses/{KEY}.json", f"?analysis={KEY}&x", f"GET /analyses/{KEY}/pairs", f"k{KEY}k"],
)
def test_the_id_of_an_analysis_is_taken_out(lines: Lines, text: str) -> None:
    told = {"at": text, "all": [text], "by": {text: text}}
    assert KEY not in json.dumps(lines(lambda: log.error("%s", text, extra=told)))


def test_the_id_of_a_job_is_told_as_one(lines: Lines) -> None:
    (line,) = lines(lambda: log.error("job %s (sync) was taken over", JOB))
    assert line["message"] == f"job {JOB} (sync) was taken over"


SECRETS = {
    "SOLANA_RPC_URL": "https://rpc.example/v2/path-key-123456?api-key=query-key-123456",
    "JUPITER_API_KEY": "jupiter-key-123456",
    "OPERATOR_TOKEN": "operator-token-123456",
    "SECRET_KEY": "signing-key-123456789",
    "DATABASE_URL": "postgresql://kin:p%40ss-word@db/kin",
    "REDIS_URL": "redis://:redis-pass@cache:6379/0",
}


@pytest.mark.parametrize(
    "secret",
    ["path-key-123456", "query-key-123456", "jupiter-key-123456", "operator-token-123456", "signing-key-123456789",
     "p%40ss-word", "p@ss-word", "redis-pass"],
)  # fmt: skip
def test_no_secret_of_the_settings_is_written(lines: Lines, secret: str) -> None:
    def fail() -> None:
        try:
            raise ConnectionError(f"cannot reach https://host/?k={secret}")
        except ConnectionError:
            log.exception("asking with %s failed", secret, extra={"url": f"https://host/{secret}"})

    (line,) = lines(fail, **SECRETS)
    assert line["level"] == "error"
    assert secret not in json.dumps(line)


def test_words_that_are_no_secret_stay(lines: Lines) -> None:
    (line,) = lines(lambda: log.info("the rpc at v2 of example answered 200"), **SECRETS)
    assert line["message"] == "the rpc at v2 of example answered 200"
