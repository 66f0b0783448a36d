"""The well-known addresses are addresses."""

from __future__ import annotations

import base58
import pytest

from tasks.measures import well_known

NAMED = [value for name, value in vars(well_known).items() if name.isupper() and isinstance(value, str)]


@pytest.mark.parametrize("address", [*well_known.DEFAULT_EXCLUDED, *well_known.PROGRAMS, *NAMED])
def test_every_constant_is_base58_of_32_bytes(address: str) -> None:
    assert len(base58.b58decode(address)) == 32


def test_the_default_list_has_the_order_of_measures() -> None:
    wanted = ["wSOL", "USDC", "USDT", "PYUSD", "USDS", "mSOL", "JitoSOL", "bSOL", "stSOL", "jupSOL", "INF"]
    assert list(well_known.DEFAULT_EXCLUDED.values()) == wanted


def test_no_program_is_a_mint() -> None:
    assert not well_known.PROGRAMS.keys() & well_known.DEFAULT_EXCLUDED.keys()
