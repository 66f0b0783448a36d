"""Two minutes of chaos in either way to run. `make chaos` is the same for ten."""

from __future__ import annotations

import pytest

from tests.system.chaos import chaos_run

SECONDS, KILLS = 120, 14


@pytest.mark.slow
@pytest.mark.parametrize("scaled", [False, True], ids=["embedded", "scaled out"])
def test_whatever_is_killed_nothing_is_lost(scaled: bool) -> None:
    done = chaos_run.run(SECONDS, KILLS, scaled=scaled)
    print(done.told())
    assert done.wrong == []
    assert done.kills.total() >= KILLS * 0.6  # some met what was just starting again
    assert done.compared == done.analyses >= 10
