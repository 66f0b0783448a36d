"""The scores among a few wallets of a result, and which few of many those are: what a heat map draws."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from peewee import fn

from tasks.storage import sql
from tasks.storage.models.base import db
from tasks.storage.models.results import Pair, ResultWallet

BEST_PAIRS = 2_000


def closest_wallets(result_id: int, most: int) -> tuple[list[int], int]:
    """Return the positions of the wallets that are closest to others, at most so many, and how many took part.

    Those in clusters come first, the largest cluster first; then those of the best pairs; then the others by position.
    A result without clusters and places (a provisional one) has those of its best pairs.
    """
    w = ResultWallet
    clustered = w.select(w.position).where(w.result_id == result_id, w.cluster.is_null(False))
    inside = clustered.order_by(w.cluster, w.position).limit(most)
    others = w.select(w.position).where(w.result_id == result_id).order_by(w.position).limit(most)
    # The order of the three is that of preference, and a dict keeps where a position came first.
    found = dict.fromkeys(chain(_first(inside), _of_best_pairs(result_id), _first(others)))
    counted = w.select(fn.count(w.position)).where(w.result_id == result_id)
    return list(found)[:most], db.execute(counted).fetchone()[0] or len(found)


def _first(query: object) -> list[int]:
    return [row[0] for row in db.execute(query)]


def _of_best_pairs(result_id: int) -> list[int]:
    p = Pair
    best = p.select(p.wallet_a, p.wallet_b).where(p.result_id == result_id, p.number < BEST_PAIRS).order_by(p.number)
    return list(chain.from_iterable(db.execute(best)))


def among(result_id: int, positions: Sequence[int]) -> list[tuple[int, int, float | None]]:
    """Return (wallet a, wallet b, overall) of the kept pairs whose wallets are both at these positions, best first.

    None (not enough data) comes last. A few hundred positions at most: the query names them.
    """
    p = Pair
    here = sql.sql_in(positions)
    rows = p.select(p.wallet_a, p.wallet_b, p.overall, p.number).where(
        p.result_id == result_id, p.wallet_a.in_(here), p.wallet_b.in_(here)
    )
    found = sorted(db.execute(rows), key=lambda row: row[3]) if positions else []
    return [(a, b, overall) for a, b, overall, _ in found]
