"""What the world plans, and what a reader of its wire finds, are the same trades."""

from __future__ import annotations

from collections import Counter

import orjson
import pytest

from tasks.measures.trades import derive
from tasks.simulator.chain.transactions import Encoding
from tasks.simulator.world.tokens import sol_usd
from tasks.simulator.world.world import World
from tasks.sources.solana.parse import parse_transaction

Row = tuple[str, str, str, int, str | None, int | None, bool]


@pytest.mark.parametrize("encoding", ["json", "jsonParsed"])
def test_the_trades_on_the_wire_are_the_planned_ones(small_world: World, encoding: Encoding) -> None:
    seen = 0
    for address in small_world.addresses:
        planned = Counter(_planned(small_world, address))
        assert Counter(_derived(small_world, address, encoding)) == planned
        seen += planned.total()
    assert seen > 2_000


def _planned(world: World, address: str) -> list[Row]:
    return [
        (signature, t.side, t.mint, t.amount, t.quote, t.quote_amount, t.approximate)
        for signature, t in world.planned_trades(address)
    ]


def _derived(world: World, address: str, encoding: Encoding) -> list[Row]:
    rows: list[Row] = []
    for event in world.events(address):
        transaction = parse_transaction(orjson.loads(world.render(event, encoding)), world.signature(event))
        for m in derive(transaction, address).movements:
            if m.side in ("buy", "sell"):
                part = None if m.quote_amount is None else m.quote_amount // m.parts
                rows.append((m.signature, m.side, m.mint, m.amount, m.quote, part, m.approximate))
    return rows


def test_exchanges_of_sol_for_dollars_show_the_sol_price(small_world: World) -> None:
    rates = 0
    for event in small_world.events(small_world.addresses[-1]):
        transaction = parse_transaction(orjson.loads(small_world.render(event, "json")))
        seen = derive(transaction, small_world.addresses[-1]).observation
        assert (seen is not None) == (event.what == "rate")
        if seen is not None:
            at_s = transaction.block_at - small_world.scenario.start_at
            assert seen.usd / 1e6 / (seen.lamports / 1e9) == pytest.approx(sol_usd(at_s), rel=0.01)
            rates += 1
    assert rates > 5
