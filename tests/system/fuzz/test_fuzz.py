"""5,000 hostile inputs in the suite; `make fuzz` throws 110,000 and judges time and memory as well."""

from __future__ import annotations

import os

import pytest
from flask import Flask

from tests.system.fuzz import pages, running, targets, world
from tests.system.fuzz.__main__ import OFFLINE, WITH_APP

INPUTS = int(os.environ.get("FUZZ_INPUTS", "5000"))


def count(target: targets.Target) -> int:
    return INPUTS * target.share // 100


def test_the_shares_are_of_a_hundred(app: Flask) -> None:
    every = targets.offline() | pages.targets(app, {"key": ["0" * 32]})
    assert sum(target.share for target in every.values()) == 100
    assert set(every) == {*OFFLINE, *WITH_APP}


@pytest.mark.slow
@pytest.mark.parametrize("name", OFFLINE)
def test_hostile_input_is_read_or_refused(name: str) -> None:
    target = targets.offline()[name]
    found = running.run(target, count(target), start=os.getpid())
    assert found.failures == []
    assert found.inputs >= count(target)


@pytest.mark.slow
def test_no_request_ends_in_a_500(app: Flask) -> None:
    for target in pages.targets(app, world.fill(app)).values():
        found = running.run(target, count(target), start=os.getpid())
        assert found.failures == []
        assert found.inputs >= count(target)
