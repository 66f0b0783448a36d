"""What a heat map draws: the closest wallets of a result, and the scores of their pairs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from peewee import fn

from tasks.storage import sql
from tasks.storage.models.base import db
from tasks.storage.models.results import Pair, ResultWallet

BEST_PAIRS = 2_000


def closest_wallets(result_id: int, most: int) -> tuple[list[int], int]:
    """Return the positions of at most `most` wallets that are closest to others, and how many were compared.

    Members of clusters come first, largest cluster first, then wallets of the best pairs, then the others by position.
    A provisional result has only wallets of its best pairs.
    """
    w = ResultWallet
    clustered = w.select(w.position).where(w.result_id == result_id, w.cluster.is_null(False))
    inside = clustered.order_by(w.cluster, w.position).limit(most)
    others = w.select(w.position).where(w.result_id == result_id).order_by(w.position).limit(most)
    # In order of preference; a dict keeps the first occurrence.
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
    """Return (wallet a, wallet b, overall) of the kept pairs among these positions, best first, None last.

    At most a few hundred positions, since the query contains them.
    """
    p = Pair
    here = sql.sql_in(positions)
    rows = p.select(p.wallet_a, p.wallet_b, p.overall, p.number).where(
        p.result_id == result_id, p.wallet_a.in_(here), p.wallet_b.in_(here)
    )
    found = sorted(db.execute(rows), key=lambda row: row[3]) if positions else []
    return [(a, b, overall) for a, b, overall, _ in found]
