"""The made-up world: the same for the same seed, with balances that add up."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from typing import Any

import base58
import orjson
import pytest

from tasks.simulator.chain.counterparties import TIP_ACCOUNTS
from tasks.simulator.chain.transactions import Encoding
from tasks.simulator.world.addresses import is_base58, place_of
from tasks.simulator.world.events import Event
from tasks.simulator.world.scenario import plain_scenario
from tasks.simulator.world.tokens import QUOTES, WSOL_MINT
from tasks.simulator.world.wallets import failing_address
from tasks.simulator.world.world import World, build_world


def _all_events(world: World) -> list[Event]:
    events = {(event.unit, event.sequence): event for address in world.addresses for event in world.events(address)}
    return list(events.values())


def _wire(world: World, event: Event, encoding: Encoding = "json") -> dict[str, Any]:
    content: dict[str, Any] = orjson.loads(world.render(event, encoding))
    return content


def _keys(transaction: dict[str, Any]) -> list[str]:
    listed = transaction["transaction"]["message"]["accountKeys"]
    loaded = transaction["meta"].get("loadedAddresses", {"writable": [], "readonly": []})
    plain = [key if isinstance(key, str) else key["pubkey"] for key in listed]
    return [*plain, *loaded["writable"], *loaded["readonly"]]


def test_the_same_seed_gives_the_same_world_in_any_order_of_asking(small_world: World) -> None:
    again = build_world(small_world.scenario)
    for address in reversed(small_world.addresses):
        assert again.events(address) == small_world.events(address)
    assert again.truth == small_world.truth
    assert again.catalogue.tokens == small_world.catalogue.tokens


def test_another_seed_gives_other_wallets_and_mints(small_world: World) -> None:
    other = build_world(replace(small_world.scenario, seed=8))
    assert not set(other.addresses) & set(small_world.addresses)
    assert len({t.mint for t in other.catalogue.tokens} & {t.mint for t in small_world.catalogue.tokens}) == QUOTES


def test_a_later_end_moves_the_times_and_nothing_else(small_world: World) -> None:
    later = build_world(replace(small_world.scenario, end_at=small_world.scenario.end_at + 7_200))
    address = small_world.addresses[0]
    assert later.events(address) == small_world.events(address)
    one, other = (_wire(world, world.events(address)[3]) for world in (small_world, later))
    assert other["blockTime"] - one["blockTime"] == 7_200
    assert one["transaction"] == other["transaction"]


def test_addresses_and_signatures_are_valid_base58(small_world: World) -> None:
    for address in [*small_world.addresses, *(t.mint for t in small_world.catalogue.tokens), *TIP_ACCOUNTS]:
        assert len(base58.b58decode(address)) == 32
    transaction = _wire(small_world, small_world.events(small_world.addresses[0])[5])
    assert all(len(base58.b58decode(key)) == 32 for key in _keys(transaction))
    assert all(is_base58(signature, 64) for signature in transaction["transaction"]["signatures"])
    assert is_base58(failing_address(small_world.scenario), 32)
    assert failing_address(small_world.scenario) not in small_world.addresses


def test_a_signature_finds_its_event_and_a_changed_one_finds_nothing(small_world: World) -> None:
    event = small_world.events(small_world.addresses[2])[7]
    signature = small_world.signature(event)
    assert small_world.find(signature) is event
    assert small_world.find(signature[:-1] + ("2" if signature[-1] != "2" else "3")) is None
    assert place_of(small_world.scenario.seed, "z" * 88) is None


@pytest.mark.parametrize("encoding", ["json", "jsonParsed"])
def test_lamports_are_conserved_apart_from_the_fee(small_world: World, encoding: Encoding) -> None:
    for event in _all_events(small_world):
        transaction = _wire(small_world, event, encoding)
        meta, keys = transaction["meta"], _keys(transaction)
        assert sum(meta["postBalances"]) - sum(meta["preBalances"]) == -meta["fee"]
        assert len(keys) == len(set(keys)) == len(meta["preBalances"]) == len(meta["postBalances"])
        assert min(meta["preBalances"] + meta["postBalances"]) >= 0


def test_tokens_are_conserved_apart_from_transfer_fees(small_world: World) -> None:
    for event in _all_events(small_world):
        moved: defaultdict[str, int] = defaultdict(int)
        gross: defaultdict[str, int] = defaultdict(int)
        meta = _wire(small_world, event)["meta"]
        for sign, side in ((-1, "preTokenBalances"), (1, "postTokenBalances")):
            for entry in meta[side]:
                amount = int(entry["uiTokenAmount"]["amount"])
                assert 0 <= amount < 2**64
                moved[entry["mint"]] += sign * amount
                gross[entry["mint"]] = max(gross[entry["mint"]], amount)
        for mint, net in moved.items():
            if mint == WSOL_MINT:
                continue  # SOL is wrapped and unwrapped on the way
            fee = small_world.catalogue.by_mint[mint].transfer_fee_bps
            assert net <= 0
            assert net == 0 or fee


def test_balances_run_on_from_one_transaction_to_the_next(small_world: World) -> None:
    for address in small_world.addresses:
        lamports, tokens = 0, Counter[str]()
        for event in small_world.events(address):
            transaction = _wire(small_world, event)
            meta, place = transaction["meta"], _keys(transaction).index(address)
            assert meta["preBalances"][place] == lamports
            lamports = meta["postBalances"][place]
            before = {e["mint"]: int(e["uiTokenAmount"]["amount"]) for e in _owned(meta["preTokenBalances"], address)}
            assert all(tokens[mint] == amount for mint, amount in before.items())
            tokens -= Counter(before)
            tokens += Counter(
                {e["mint"]: int(e["uiTokenAmount"]["amount"]) for e in _owned(meta["postTokenBalances"], address)}
            )
        assert small_world.balance(address) == lamports
        held = Counter({account.token.mint: account.amount for account in small_world.holdings(address)})
        assert +held == +tokens


def _owned(entries: list[dict[str, Any]], owner: str) -> list[dict[str, Any]]:
    return [entry for entry in entries if entry["owner"] == owner]


def test_both_encodings_say_the_same(small_world: World) -> None:
    for event in small_world.events(small_world.addresses[0]) + small_world.events(small_world.addresses[-1])[:200]:
        plain, parsed = _wire(small_world, event, "json"), _wire(small_world, event, "jsonParsed")
        assert _keys(plain) == _keys(parsed)
        required = plain["transaction"]["message"]["header"]["numRequiredSignatures"]
        listed = parsed["transaction"]["message"]["accountKeys"]
        assert [key["signer"] for key in listed] == [place < required for place in range(len(listed))]
        assert len(plain["transaction"]["signatures"]) == required
        loaded = plain["meta"].pop("loadedAddresses")
        assert [key["pubkey"] for key in listed if key["source"] == "lookupTable"] == loaded["writable"]
        assert plain["meta"] == parsed["meta"]


def test_the_world_holds_every_kind_of_transaction(small_world: World) -> None:
    events = _all_events(small_world)
    assert {event.what for event in events} == {"buy", "sell", "exchange", "rate", "transfer", "failed"}
    assert {event.version for event in events} == {-1, 0, 1}
    assert {event.route for event in events} == {"", "sol", "usdc", "direct"}
    assert any(event.sponsored for event in events)
    assert any(event.temporary for event in events)
    assert any(event.deposit and event.what == "buy" for event in events)
    assert any(len(event.parties) == 2 and event.what == "buy" for event in events)
    assert any(not event.parties[0].signed and event.parties[0].changes for event in events), "no airdrop"
    assert any(change.after is None for event in events for party in event.parties for change in party.changes)
    looked = [_wire(small_world, event)["meta"]["loadedAddresses"]["writable"] for event in events[:60]]
    assert any(looked)


def test_the_truth_names_groups_and_leaders(small_world: World) -> None:
    kinds = Counter(role.kind for role in small_world.truth.values())
    assert kinds == {"copies": 8, "mixed": 7, "followers": 15, "owner": 5, "independent": 12, "long": 1}
    for address, role in small_world.truth.items():
        assert (role.leader is not None) == (role.kind in ("mixed", "followers"))
        if role.leader:
            assert small_world.truth[role.leader].group == role.group
        assert address in small_world.addresses


def test_followers_trade_within_a_minute_after_their_leader(small_world: World) -> None:
    group = [address for address, role in small_world.truth.items() if role.group == "Shadow school"]
    firsts = [_first_buys(small_world, address) for address in group]
    for follower in firsts[1:]:
        shared = [mint for mint in firsts[0] if mint in follower]
        assert len(shared) >= 5
        close = [mint for mint in shared if 4 <= follower[mint] - firsts[0][mint] <= 51]
        assert len(close) >= 0.8 * len(shared)


def _first_buys(world: World, address: str) -> dict[str, int]:
    firsts: dict[str, int] = {}
    for signature, trade in world.planned_trades(address):
        event = world.find(signature)
        assert event is not None
        if trade.side == "buy":
            firsts.setdefault(trade.mint, world.scenario.block_time(event.slot))
    return firsts


def test_one_owner_pays_for_its_other_wallets_and_collects_from_them(small_world: World) -> None:
    owner = [address for address, role in small_world.truth.items() if role.kind == "owner"]
    shared = [e for e in small_world.events(owner[0]) if len(e.parties) == 2 and e.what == "transfer"]
    assert sum(e.parties[0].address == owner[0] for e in shared) >= len(owner) - 1
    assert any(e.parties[1].address == owner[0] and e.parties[1].changes for e in shared)


def test_a_plain_scenario_has_exactly_so_many_transactions() -> None:
    world = build_world(plain_scenario(5, 120, seed=3))
    assert [len(world.history(address)) for address in world.addresses] == [120] * 5


def test_some_tokens_are_rugged_unlisted_or_hostile(small_world: World) -> None:
    tokens = small_world.catalogue.tokens[QUOTES:]
    assert len(tokens) == 350
    assert {token.listing for token in tokens} == {"both", "second", "none"}
    assert sum(token.rugged_s is not None for token in tokens) > 10
    assert {6, 9, 0} <= {token.decimals for token in tokens}
    assert any("<img" in token.name for token in tokens)
    assert any(token.transfer_fee_bps for token in tokens)
    assert len({token.name for token in tokens}) == len(tokens)
