"""What was taken of a rate outlives the process that took it."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest

from tasks.sources.rate_limit import journal
from tasks.sources.rate_limit.journal import UsageJournal
from tasks.sources.rate_limit.limiter import RateLimiter, close_limiters, keep_diaries, limiter_for


class Now:
    at = 1_000_000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def now() -> Now:
    return Now()


def test_a_limiter_that_starts_again_knows_what_was_taken(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "rate"
    first = RateLimiter("x", 0.5, 60, diary_path=path)
    assert [first.try_acquire() for _ in range(30)] == [0.0] * 30
    assert RateLimiter("x", 0.5, 60, diary_path=path).try_acquire() > 50
    assert RateLimiter("x", 0.5, 60).try_acquire() == 0.0


def test_only_what_lies_in_the_window_is_remembered(tmp_path: pathlib.Path, now: Now) -> None:
    one = UsageJournal(tmp_path / "rate", 60, now)
    one.note(1)
    now.at += 50
    one.note(2)
    now.at += 20
    assert UsageJournal(tmp_path / "rate", 60, now).recent() == [(20.0, 2)]
    assert len((tmp_path / "rate").read_text().splitlines()) == 1


def test_notes_from_before_the_clock_was_set_back_count_as_taken_now(tmp_path: pathlib.Path, now: Now) -> None:
    UsageJournal(tmp_path / "rate", 60, now).note(3)
    now.at -= 7200
    assert UsageJournal(tmp_path / "rate", 60, now).recent() == [(0.0, 3)]


def test_a_damaged_diary_gives_what_can_be_read(tmp_path: pathlib.Path, now: Now) -> None:
    (tmp_path / "rate").write_bytes(b"\xff\x00 nonsense\n\n999999.5 4\n999999.9")
    assert UsageJournal(tmp_path / "rate", 60, now).recent() == [(0.5, 4)]


def test_the_file_does_not_grow_for_ever(tmp_path: pathlib.Path, now: Now, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "NOTES_BEFORE_TIDYING", 10)
    one = UsageJournal(tmp_path / "rate", 60, now)
    for _ in range(100):
        now.at += 30
        one.note(1)
    assert len((tmp_path / "rate").read_text().splitlines()) < 15


def test_a_folder_that_cannot_be_written_to_is_done_without(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    limiter = RateLimiter("x", 5.0, 60, diary_path=tmp_path / "file" / "rate")
    assert [limiter.try_acquire() for _ in range(3)] == [0.0] * 3
    assert caplog.text.count("cannot be remembered") == 1


@pytest.fixture
def diaries(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    keep_diaries(tmp_path)
    yield tmp_path
    keep_diaries(None)
    close_limiters()


def test_the_limiters_of_a_process_keep_a_diary_each(diaries: pathlib.Path) -> None:
    limiter_for("a/b", 5.0, 60).try_acquire()
    limiter_for("c", 5.0, 60).try_acquire()
    assert sorted(path.name for path in diaries.iterdir()) == ["rate-a_b", "rate-c"]
