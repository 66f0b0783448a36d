"""Which wallets of a large analysis a page shows: their positions only, so that nothing else of the others is read."""

from __future__ import annotations

from peewee import fn

from tasks.records import database
from tasks.records.models import AnalysisWallet, ResultWallet

INCOMPLETE = ("partial", "failed")
FIRST_READ = (
    'SELECT "position" FROM analysis_wallet WHERE analysis_id = ? '
    'ORDER BY CASE WHEN state IN (?, ?) THEN 0 ELSE 1 END, line, "position" LIMIT ?'
)


def first_wallets(analysis_id: int, most: int) -> list[int]:
    """Return the positions of the wallets to list, at most so many: the incomplete ones, then those first in line."""
    return [row[0] for row in database.rows(FIRST_READ, analysis_id, *INCOMPLETE, most)]


def labels(analysis_id: int) -> dict[int, str]:
    """Return position → label of the wallets that have one."""
    w = AnalysisWallet
    query = w.select(w.position, w.label).where(w.analysis_id == analysis_id, w.label.is_null(False))
    return dict(database.db.execute(query.order_by(w.line, w.position)))


def on_map(result_id: int, most: int) -> tuple[list[int], int]:
    """Return the positions of the wallets to draw on the map, at most so many, and how many have a place.

    Those in clusters come first; ties by position.
    """
    w = ResultWallet
    placed = w.select(w.position).where(w.result_id == result_id, w.x.is_null(False))
    chosen = placed.order_by(w.cluster.is_null(), w.position).limit(most)
    counted = w.select(fn.count(w.position)).where(w.result_id == result_id, w.x.is_null(False))
    return [row[0] for row in database.db.execute(chosen)], database.db.execute(counted).fetchone()[0]
