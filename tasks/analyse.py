"""Computes the result of an analysis and stores it: reads what was synced, calls the mathematics, swaps the result in.

Two kinds of job: `provisional` while wallets are still coming, `similarity` when all are read or have failed. It
fetches no wallet; the one thing it may ask outside is the price of SOL, when no wallet of the analysis observed it.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from peewee import chunked

from tasks import jobs, lifecycle, runner
from tasks.analysis import allocation, similarity
from tasks.analysis.allocation import AllocationRow, Rates
from tasks.errors import WalletkinError
from tasks.queues import SETTINGS
from tasks.records import analyses, database, results, tokens, wallets
from tasks.records.analyses import FrozenWallet
from tasks.records.models import Analysis
from tasks.records.wallets import Bounds
from tasks.sources import market

DAY_S = 86_400
WALLETS_PER_WRITE = 300


@dataclass(frozen=True, slots=True)
class Participant:
    """A wallet that takes part: its place in the analysis and the data of it that are used."""

    position: int
    bounds: Bounds
    held: str | None  # what it holds, as kept
    holdings: frozenset[int] | None  # the mints of it that count
    rows: list[AllocationRow]


def give_up(claim: jobs.Claim, reason: str) -> None:
    """A final result that cannot be computed fails the analysis; a provisional one is only missing."""
    if claim.kind == "similarity":
        lifecycle.fail(claim, reason)
        return
    with database.write():
        jobs.finish(claim, "failed", error=reason)


@runner.handles("provisional", give_up)
@runner.handles("similarity", give_up)
def analyse(claim: jobs.Claim) -> None:
    """Compute and store a result for the analysis that the job names; return early when it has ended."""
    started = time.monotonic()
    analysis = analyses.by_key(claim.subject)
    if analysis.state not in analyses.LIVE:
        with database.write():
            jobs.finish(claim, "cancelled", detail="The analysis has ended.")
        return
    rates, participants = _allocate(analysis)
    if not participants:
        raise WalletkinError(f"None of the {analysis.wallets} wallets could be read; see the reason beside each.")
    mint_ids = tokens.ensure_mints({row.mint: None for participant in participants for row in participant.rows})
    pairs = _compare(participants, mint_ids)
    result_id = _store(claim, analysis, participants, mint_ids, pairs)
    _close(claim, result_id, participants, rates, pairs, time.monotonic() - started)
    job_ids = lifecycle.result_ready(claim, analysis.id, result_id)
    jobs.announce(job_ids)
    _drop_unseen(analysis.id, result_id)


def _drop_unseen(analysis_id: int, result_id: int) -> None:
    """Delete the results that readers no longer see; when ours came too late to be shown, only ours."""
    shown = Analysis.get_by_id(analysis_id).result_id
    if shown == result_id:
        results.drop_results(analysis_id, but=shown)
    else:
        results.drop_result(result_id)


def _allocate(analysis: Analysis) -> tuple[Rates, list[Participant]]:
    """Return the rates and every wallet that was read, with its allocation, in address order."""
    excluded = frozenset(lifecycle.parameters_of(analysis).exclude)
    read = list(_read_wallets(analysis.id, excluded))
    rates = _rates([bounds for _, bounds, _, _ in read])
    start_at, end_at = window_of(analysis)
    participants = []
    for position, bounds, kept, holdings in read:
        movements, _ = wallets.movements(bounds)
        rows = allocation.allocate(
            movements, rates=rates, excluded=excluded, window_start_at=start_at, window_end_at=end_at
        )
        participants.append(Participant(position, bounds, kept, holdings, rows))
    return rates, participants


def window_of(analysis: Analysis) -> tuple[float | None, float]:
    """Return the window (start, end] of an analysis; without `window_days` all synced history is in it."""
    if analysis.window_days is None:
        return None, float("inf")
    return analysis.created_at - analysis.window_days * DAY_S, analysis.created_at


def _read_wallets(
    analysis_id: int, excluded: frozenset[str]
) -> Iterator[tuple[int, Bounds, str | None, frozenset[int] | None]]:
    """Yield position, bounds, holdings as kept, and the mints held that are not excluded (None when unknown)."""
    left_out = set(tokens.mint_ids(excluded).values())
    for position, wallet_id, syncs, oldest_slot, held in analyses.synced_wallets(analysis_id):
        mints = None if held is None else frozenset(map(int, json.loads(held))) - left_out
        yield position, Bounds(wallet_id, syncs, oldest_slot), held, mints


def _rates(all_bounds: Sequence[Bounds]) -> Rates:
    """Return the SOL price by day from the wallets' own swaps, or from the market when none of them shows it."""
    observed = list(wallets.observations(all_bounds))
    days = wallets.days_quoted_in_usd(bounds.wallet_id for bounds in all_bounds)
    asked = None
    if days and not observed:
        asked = market.sol_price_usd(
            SETTINGS.source_order, SETTINGS.dexscreener_url, SETTINGS.jupiter_url, SETTINGS.jupiter_api_key
        )
    return allocation.sol_usd_days(observed, days, asked)


def _compare(participants: Sequence[Participant], mint_ids: dict[str, int]) -> similarity.Pairs:
    """Compare every two participants; indices in the result are places in the list, which is in address order."""
    rows = [(place, row.mint, row.weight) for place, one in enumerate(participants) for row in one.rows]
    names = {mint_id: mint for mint, mint_id in mint_ids.items()}
    names |= tokens.mint_names({mint_id for one in participants for mint_id in one.holdings or ()} - names.keys())
    # Columns in the order of the mints' names, not of their ids: sums then come out the same to the last bit,
    # whichever wallet happened to be read first.
    number = {mint: column for column, mint in enumerate(sorted(names.values()))}
    held = [None if one.holdings is None else [number[names[mint]] for mint in one.holdings] for one in participants]
    world = similarity.build_world(
        [place for place, _, _ in rows],
        [number[mint] for _, mint, _ in rows],
        [weight for _, _, weight in rows],
        wallet_count=len(participants),
        mint_count=len(number),
        holdings=held,
    )
    return similarity.compare(world)


def _store(
    claim: jobs.Claim,
    analysis: Analysis,
    participants: Sequence[Participant],
    mint_ids: dict[str, int],
    pairs: similarity.Pairs,
) -> int:
    """Store the rows of a result that no reader sees yet; return its id."""
    provisional = claim.kind == "provisional"
    total = sum(len(one.rows) for one in participants) + len(pairs)
    with database.write():
        jobs.fence(claim, total=total, done=0)
        result_id = results.new_result(analysis.id, provisional, len(participants), lifecycle.VERSION)
    done = 0
    for stored in _store_rows(result_id, participants, mint_ids, pairs):
        done += stored
        with database.write():
            jobs.fence(claim, done=done)
    if not provisional:
        _freeze(claim, analysis.id, participants)
    return result_id


def _close(
    claim: jobs.Claim,
    result_id: int,
    participants: Sequence[Participant],
    rates: Rates,
    pairs: similarity.Pairs,
    duration_s: float,
) -> None:
    """Write what the result says in sum, which makes it whole."""
    summary = asdict(similarity.summary(pairs)) | _token_summary(participants) | {"wallets": len(participants)}
    with database.write():
        jobs.fence(claim)
        results.close_result(result_id, summary, rates_json(rates), duration_s)


def _store_rows(
    result_id: int, participants: Sequence[Participant], mint_ids: dict[str, int], pairs: similarity.Pairs
) -> Iterator[int]:
    yield from results.store_allocation(
        (
            result_id, participant.position, mint_ids[row.mint], row.buys, row.sells, str(row.bought), str(row.sold),
            row.spent_sol, row.received_sol, row.first_buy_at, row.last_trade_at, row.weight,
        )
        for participant in participants
        for row in participant.rows
    )  # fmt: skip
    positions = np.array([participant.position for participant in participants], dtype=np.int64)
    columns = [positions[pairs.wallet_a].tolist(), positions[pairs.wallet_b].tolist(), pairs.shared.tolist()]
    columns += [getattr(pairs, name).tolist() for name in results.MEASURES]
    yield from results.store_pairs((result_id, *row) for row in zip(*columns, strict=True))


def _freeze(claim: jobs.Claim, analysis_id: int, participants: Iterable[Participant]) -> None:
    """Keep with the analysis which data it saw, so that later syncs change nothing in its evidence."""
    frozen = [
        FrozenWallet(
            one.position, one.bounds.wallet_id, one.bounds.sync_no, one.held,
            sum(row.buys + row.sells for row in one.rows), len(one.rows),
        )
        for one in participants
    ]  # fmt: skip
    for part in chunked(frozen, WALLETS_PER_WRITE):
        with database.write():
            jobs.fence(claim)
            analyses.freeze_wallets(analysis_id, part)


def _token_summary(participants: Sequence[Participant]) -> dict[str, Any]:
    """How many wallets traded how many of the mints, and how many trades and mints there are in all."""
    counts = Counter(row.mint for participant in participants for row in participant.rows)
    frequency = Counter(counts.values())
    return {
        "token_frequency": [{"wallets": n, "mints": frequency[n]} for n in sorted(frequency, reverse=True)],
        "mints": len(counts),
        "trades": sum(row.buys + row.sells for participant in participants for row in participant.rows),
        "spent_sol": sum(row.spent_sol for participant in participants for row in participant.rows),
    }


def rates_json(rates: Rates) -> dict[str, Any]:
    """Return the rates as they are kept and shown: the source, and USD per SOL by day (ISO date)."""
    days = {time.strftime("%Y-%m-%d", time.gmtime(day * DAY_S)): rate for day, rate in sorted(rates.days.items())}
    counts = {time.strftime("%Y-%m-%d", time.gmtime(day * DAY_S)): n for day, n in sorted(rates.counts.items())}
    return {"source": rates.source, "days": days, "observations": counts}


def rates_from(kept: dict[str, Any]) -> Rates:
    """Return the rates that a result was made with."""

    def days(texts: dict[str, Any]) -> dict[int, Any]:
        return {int(np.datetime64(text, "D").astype(int)): value for text, value in texts.items()}

    return Rates(kept["source"], days(kept["days"]), days(kept["observations"]))
