"""How the tests are shared out among the workers of `make test`."""

from __future__ import annotations

import pytest
from xdist.remote import Producer

from tests.conftest import TOGETHER, Sharing


@pytest.fixture
def sharing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Sharing:
    monkeypatch.setattr(request.config.option, "tx", ["popen"])
    return Sharing(request.config, Producer("sharing"))


@pytest.mark.parametrize("place", TOGETHER)
def test_what_shares_a_system_stays_with_one_worker(sharing: Sharing, place: str) -> None:
    file = place if place.endswith(".py") else f"{place}test_any.py"
    assert sharing._split_scope(f"{file}::test_one") == sharing._split_scope(f"{file}::test_two[x]")


def test_every_other_test_goes_alone(sharing: Sharing) -> None:
    file = "tests/system/test_enrichment_faults.py"
    assert sharing._split_scope(f"{file}::test_one[a]") != sharing._split_scope(f"{file}::test_one[b]")
