"""Random kills: a short run in `make test`, two minutes each way in `make test-long`, ten minutes in `make chaos`."""

from __future__ import annotations

import pytest

from tests.system.chaos import chaos_run


@pytest.mark.parametrize(
    ("scaled", "seconds", "kills"),
    [
        pytest.param(False, 20, 3, id="embedded, short", marks=pytest.mark.slow),
        pytest.param(False, 120, 14, id="embedded", marks=pytest.mark.long),
        pytest.param(True, 120, 14, id="scaled out", marks=pytest.mark.long),
    ],
)
def test_kills_lose_nothing(scaled: bool, seconds: int, kills: int) -> None:
    done = chaos_run.run(seconds, kills, scaled=scaled)
    print(done.summary())
    assert done.wrong == []
    assert done.kills.total() >= kills * 0.6  # some met what was just starting again
    assert done.compared == done.analyses >= seconds / 12
