"""Room for the analysis in full: chance, timing and insights of pairs, their orders, clusters, and wallets on a map.

Results of before stay readable: their pairs are numbered and put in order, and what was not computed is unknown.
"""

import json
from typing import Any

from peewee import (
    BlobField,
    CompositeKey,
    DoubleField,
    IntegerField,
    Model,
    SmallIntegerField,
    SqliteDatabase,
    TextField,
    chunked,
)

SORTS = ("behavioural", "capital", "overlap", "lift", "matched")
CHUNK = 10_000
BASE = "wallet_a, wallet_b, shared, overall, behavioural, capital, jaccard, overlap, coverage_a, coverage_b, holdings"
REASON = "an earlier version made this result, which compared nothing with chance"
MISSING = "An earlier version made this result: it has no comparison with chance, timing, insights, groups or map."


class Pair(Model):
    result_id = IntegerField()
    number = IntegerField()
    wallet_a = IntegerField()
    wallet_b = IntegerField()
    shared = IntegerField()
    overall = DoubleField(null=True)
    behavioural = DoubleField(null=True)
    capital = DoubleField(null=True)
    jaccard = DoubleField(null=True)
    overlap = DoubleField(null=True)
    coverage_a = DoubleField(null=True)
    coverage_b = DoubleField(null=True)
    holdings = DoubleField(null=True)
    expected = DoubleField(null=True)
    lift = DoubleField(null=True)
    p_value = DoubleField(null=True)
    q_value = DoubleField(null=True)
    matched = IntegerField(null=True)
    matched_share = DoubleField(null=True)
    same_slot = IntegerField(null=True)
    median_lag_s = DoubleField(null=True)
    leader = SmallIntegerField(null=True)
    lead_share = DoubleField(null=True)
    timing_p_value = DoubleField(null=True)
    insights = IntegerField(default=0)

    class Meta:
        table_name = "pair"
        primary_key = CompositeKey("result_id", "number")
        indexes = ((("result_id", "wallet_a", "wallet_b"), True), (("result_id", "wallet_b"), False))


class PairOrder(Model):
    result_id = IntegerField()
    sort = TextField()
    chunk = IntegerField()
    numbers = BlobField()

    class Meta:
        table_name = "pair_order"
        primary_key = CompositeKey("result_id", "sort", "chunk")


class ResultCluster(Model):
    result_id = IntegerField()
    number = IntegerField()
    cohesion = DoubleField()
    members = TextField()
    weak_bridges = TextField()
    shared_mints = TextField()
    edges = IntegerField()

    class Meta:
        table_name = "result_cluster"
        primary_key = CompositeKey("result_id", "number")


class ResultWallet(Model):
    result_id = IntegerField()
    position = IntegerField()
    cluster = IntegerField(null=True)
    x = DoubleField(null=True)
    y = DoubleField(null=True)
    behaviour = TextField()

    class Meta:
        table_name = "result_wallet"
        primary_key = CompositeKey("result_id", "position")


TABLES = (Pair, PairOrder, ResultCluster, ResultWallet)


def up(migrator: Any, db: Any) -> None:
    migrator.migrate(
        *(
            migrator.add_column("result", name, TextField(default=empty))
            for name, empty in (
                ("parameters", "{}"),
                ("background", "{}"),
                ("explained", "[]"),
                ("insights", "[]"),
                ("missing", "[]"),
            )
        ),
        migrator.drop_index("pair", "pair_result_id_wallet_b"),
        migrator.drop_index("pair", "pair_result_id_overall_wallet_a_wallet_b"),
    )
    _put_aside(db)
    db.bind(TABLES)
    Pair._meta.without_rowid = isinstance(db, SqliteDatabase)
    db.create_tables(TABLES)
    db.execute_sql(
        f"INSERT INTO pair (result_id, number, {BASE}, insights) "
        "SELECT result_id, ROW_NUMBER() OVER (PARTITION BY result_id ORDER BY overall IS NULL, overall DESC, "
        f"wallet_a, wallet_b) - 1, {BASE}, 0 FROM pair_before"
    )
    db.execute_sql("DROP TABLE pair_before")
    for (result_id,) in db.execute_sql("SELECT DISTINCT result_id FROM pair").fetchall():
        _order(db, result_id)
    _describe(db)


def _put_aside(db: Any) -> None:
    db.execute_sql("ALTER TABLE pair RENAME TO pair_before")
    if not isinstance(db, SqliteDatabase):  # which names keys by itself
        db.execute_sql("ALTER INDEX pair_pkey RENAME TO pair_before_pkey")


def _order(db: Any, result_id: int) -> None:
    for sort in SORTS:
        rows = db.execute_sql(
            f"SELECT number FROM pair WHERE result_id = {int(result_id)} "
            f"ORDER BY {sort} IS NULL, {sort} DESC, wallet_a, wallet_b"
        ).fetchall()
        for chunk, part in enumerate(chunked((row[0] for row in rows), CHUNK)):
            PairOrder.insert(result_id=result_id, sort=sort, chunk=chunk, numbers=_bytes(part)).execute()


def _bytes(numbers: Any) -> bytes:
    return b"".join(number.to_bytes(4, "little") for number in numbers)


def _describe(db: Any) -> None:
    """Say of each result with which parameters it was made, which its analysis still knows, and what it lacks."""
    mark = "?" if isinstance(db, SqliteDatabase) else "%s"
    rows = db.execute_sql(
        "SELECT result.id, window_days, timing_window_s, tau, exclude, history_limit "
        "FROM result JOIN analysis ON analysis.id = result.analysis_id"
    ).fetchall()
    background = json.dumps({"wallets": 0, "mints": 0, "reason": REASON})
    for result_id, window_days, timing_window_s, tau, exclude, history_limit in rows:
        parameters = {
            "window_days": window_days,
            "timing_window_s": timing_window_s,
            "tau": tau,
            "exclude": json.loads(exclude),
            "history_limit": history_limit,
        }
        db.execute_sql(
            f"UPDATE result SET parameters = {mark}, background = {mark}, missing = {mark} WHERE id = {mark}",
            (json.dumps(parameters), background, json.dumps([MISSING]), result_id),
        )
