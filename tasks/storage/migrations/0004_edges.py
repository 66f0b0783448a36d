"""Room for what holds the members of clusters, and for when a result was left by its readers.

Which pairs hold the clusters of earlier results is worked out from what those stored.
"""

import json
from typing import Any

from peewee import DoubleField, SqliteDatabase, TextField

CHUNK, PAIRS_A_READ = 10_000, 500
DIGITS, Q_BELOW = 12, 0.01


def up(migrator: Any, db: Any) -> None:
    migrator.migrate(
        migrator.add_column("result", "unseen_at", DoubleField(null=True)),
        migrator.add_column("result_cluster", "held_by", TextField(default="[]")),
    )
    for result_id, parameters, background in db.execute_sql(
        "SELECT id, parameters, background FROM result WHERE NOT dropped "
        "AND id IN (SELECT result_id FROM result_cluster)"
    ).fetchall():
        chance = json.loads(background).get("reason") is None
        _hold(db, result_id, json.loads(parameters)["tau"], chance)


def _hold(db: Any, result_id: int, tau: float, chance: bool) -> None:
    edges = []
    clusters = db.execute_sql(
        f"SELECT number, members FROM result_cluster WHERE result_id = {int(result_id)} ORDER BY number"
    ).fetchall()
    for number, members in clusters:
        inside = [row for row in _pairs(db, result_id, number) if _is_edge(row, tau, chance)]
        edges += [row[0] for row in inside]
        held = json.dumps(_held(json.loads(members), inside))
        _run(
            db,
            "UPDATE result_cluster SET held_by = ? WHERE result_id = ? AND number = ?",
            (held, result_id, number),
        )
    edges.sort()
    for start in range(0, len(edges), CHUNK):
        numbers = b"".join(number.to_bytes(4, "little") for number in edges[start : start + CHUNK])
        _run(
            db,
            "INSERT INTO pair_order (result_id, sort, chunk, numbers) VALUES (?, ?, ?, ?)",
            (result_id, "edges", start // CHUNK, numbers),
        )


def _pairs(db: Any, result_id: int, cluster: int) -> list[tuple[Any, ...]]:
    """Return (number, a, b, overall, q value) of the kept pairs inside a cluster, the highest first."""
    chunks = _run(
        db,
        "SELECT numbers FROM pair_order WHERE result_id = ? AND sort = ? ORDER BY chunk",
        (result_id, f"cluster:{cluster}"),
    ).fetchall()
    packed = b"".join(bytes(chunk[0]) for chunk in chunks)
    numbers = [int.from_bytes(packed[at : at + 4], "little") for at in range(0, len(packed), 4)]
    found: list[tuple[Any, ...]] = []
    for start in range(0, len(numbers), PAIRS_A_READ):
        marks = ",".join(map(str, numbers[start : start + PAIRS_A_READ]))
        found += db.execute_sql(
            "SELECT number, wallet_a, wallet_b, overall, q_value FROM pair "
            f"WHERE result_id = {int(result_id)} AND number IN ({marks}) ORDER BY number"
        ).fetchall()
    return found


def _is_edge(row: tuple[Any, ...], tau: float, chance: bool) -> bool:
    overall, q_value = row[3], row[4]
    alike = overall is not None and round(overall, DIGITS) >= tau and round(overall, DIGITS) > 0
    return alike and (not chance or (q_value is not None and q_value < Q_BELOW))


def _held(members: list[int], edges: list[tuple[Any, ...]]) -> list[Any]:
    """Return for each member [partner, overall, number of edges]; nothing at all when one is held by none."""
    held: dict[int, list[Any]] = {}
    for _, a, b, overall, _ in edges:
        for member, partner in ((a, b), (b, a)):
            held.setdefault(member, [partner, overall, 0])[2] += 1
    return [held[member] for member in members] if all(member in held for member in members) else []


def _run(db: Any, sql: str, values: tuple[Any, ...]) -> Any:
    return db.execute_sql(sql if isinstance(db, SqliteDatabase) else sql.replace("?", "%s"), values)
