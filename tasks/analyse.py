"""Computes the result of an analysis and stores it: reads what was synced, calls the mathematics, swaps the result in.

Two kinds of job: `provisional` while wallets are still coming, `similarity` when all are read or have failed. It
fetches no wallet; the one thing it may ask outside is the price of SOL, when no wallet of the analysis observed it.
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from peewee import chunked

from tasks import enrich, frame, jobs, lifecycle, runner
from tasks.analysis import allocation, similarity
from tasks.analysis.allocation import AllocationRow, Rates
from tasks.errors import WalletkinError
from tasks.queues import SETTINGS
from tasks.records import analyses, database, results, tokens, wallets
from tasks.records.analyses import ReadWallet
from tasks.records.models import Analysis
from tasks.records.wallets import Bounds
from tasks.sources import market

WALLETS_PER_WRITE = 300


@dataclass(frozen=True, slots=True)
class Participant:
    """A wallet that takes part: the data of it that are used, the mints it holds that count, and its allocation."""

    read: ReadWallet
    holdings: frozenset[int] | None
    rows: list[AllocationRow]

    @property
    def position(self) -> int:
        return self.read.position


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
    rates, participants = _allocate(claim, analysis)
    if not participants:
        raise WalletkinError(f"None of the {analysis.wallets} wallets could be read; see the reason beside each.")
    mint_ids = tokens.ensure_mints({row.mint: None for participant in participants for row in participant.rows})
    pairs = _compare(participants, mint_ids)
    with database.write():
        rows = sum(len(one.rows) for one in participants) + len(mint_ids) + len(pairs)
        jobs.fence(claim, total=rows, done=0)
        result_id = results.new_result(analysis.id, claim.kind == "provisional", len(participants), lifecycle.VERSION)
    try:
        _store_rows(claim, result_id, participants, mint_ids, pairs)
        _freeze(claim, analysis.id, participants)
        _close(claim, result_id, participants, rates, pairs, time.monotonic() - started)
        job_ids = lifecycle.result_ready(claim, analysis.id, result_id)
    except BaseException:
        # Unless the swap went through and only its answer was lost, nobody will ever see these rows.
        if Analysis.get_by_id(analysis.id).result_id != result_id:
            results.drop_result(result_id)
        raise
    jobs.announce(job_ids)
    if claim.kind == "similarity":
        enrich.after_analysis(analysis)


def _allocate(claim: jobs.Claim, analysis: Analysis) -> tuple[Rates, list[Participant]]:
    """Return the rates and every wallet that was read, with its allocation, in address order."""
    excluded = frozenset(lifecycle.parameters_of(analysis).exclude)
    left_out = set(tokens.mint_ids(excluded).values())
    read = list(analyses.read_wallets(analysis.id))
    rates = _rates([bounds_of(one) for one in read])
    start_at, end_at = frame.window_of(analysis)
    participants = []
    for number, one in enumerate(read):
        if number % WALLETS_PER_WRITE == 0:
            jobs.check_wanted(claim)
        movements, _ = wallets.movements(bounds_of(one))
        rows = allocation.allocate(
            movements, rates=rates, excluded=excluded, window_start_at=start_at, window_end_at=end_at
        )
        held = None if one.holdings is None else frozenset(map(int, json.loads(one.holdings))) - left_out
        participants.append(Participant(one, held, rows))
    return rates, participants


def bounds_of(read: ReadWallet) -> Bounds:
    """Return which rows of a wallet a result sees."""
    return Bounds(read.wallet_id, read.sync_no, read.oldest_slot)


def _rates(all_bounds: Sequence[Bounds]) -> Rates:
    """Return the SOL price by day from the wallets' own swaps, or from the market when none of them shows it."""
    observed = list(wallets.observations(all_bounds))
    days = wallets.days_quoted_in_usd(bounds.wallet_id for bounds in all_bounds)
    asked = None
    if days and not observed:
        asked = market.sol_price_usd(
            SETTINGS.source_order,
            SETTINGS.dexscreener_url,
            SETTINGS.jupiter_url,
            SETTINGS.jupiter_api_key,
            SETTINGS.redis_url,
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
        results.close_result(result_id, summary, frame.rates_json(rates), duration_s)


def _store_rows(
    claim: jobs.Claim,
    result_id: int,
    participants: Sequence[Participant],
    mint_ids: dict[str, int],
    pairs: similarity.Pairs,
) -> None:
    """Store the rows of a result that no reader sees yet, in short transactions that each begin with our claim."""
    done = 0

    def before(rows: int) -> None:
        nonlocal done
        done += rows
        jobs.fence(claim, done=done)
        jobs.check_wanted(claim)

    results.store_allocation(_allocation_rows(result_id, participants, mint_ids), before)
    results.store_mints(_mint_rows(result_id, participants, mint_ids), before)
    positions = np.array([participant.position for participant in participants], dtype=np.int64)
    columns = [positions[pairs.wallet_a].tolist(), positions[pairs.wallet_b].tolist(), pairs.shared.tolist()]
    columns += [getattr(pairs, name).tolist() for name in results.MEASURES]
    results.store_pairs(((result_id, *row) for row in zip(*columns, strict=True)), before)


def _allocation_rows(
    result_id: int, participants: Sequence[Participant], mint_ids: dict[str, int]
) -> Iterator[tuple[Any, ...]]:
    for participant in participants:
        for row in participant.rows:
            yield (
                result_id, participant.position, mint_ids[row.mint], row.buys, row.sells, str(row.bought),
                str(row.sold), row.spent_sol, row.received_sol, row.first_buy_at, row.last_trade_at, row.weight,
            )  # fmt: skip


def _mint_rows(
    result_id: int, participants: Sequence[Participant], mint_ids: dict[str, int]
) -> Iterator[tuple[int, int, int, float]]:
    """Yield each mint of the allocation once: how many wallets traded it, and the SOL that they spent on it."""
    spent: dict[str, list[float]] = {}
    for participant in participants:
        for row in participant.rows:
            spent.setdefault(row.mint, []).append(row.spent_sol)
    for mint, parts in spent.items():
        yield result_id, mint_ids[mint], len(parts), math.fsum(parts)


def _freeze(claim: jobs.Claim, analysis_id: int, participants: Sequence[Participant]) -> None:
    """Keep with the analysis which data its result saw, so that later syncs change nothing in its evidence."""
    counted = [(one.read, sum(row.buys + row.sells for row in one.rows), len(one.rows)) for one in participants]
    for part in chunked(counted, WALLETS_PER_WRITE):
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
