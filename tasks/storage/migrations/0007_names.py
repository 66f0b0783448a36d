"""Names of tables and columns that say what they hold."""

from typing import Any

TABLES = (("tick", "schedule_tick"), ("endpoint_traits", "rpc_capabilities"), ("signing", "signing_key"))
COLUMNS = (
    ("job", "subject", "target"),
    ("job", "claim", "claim_token"),
    ("job", "due_at", "run_after"),
    ("token", "claim", "claim_token"),
    ("token", "heard", "partial_answer"),
    ("heartbeat", "beaten_at", "last_seen_at"),
    ("result_cluster", "held_by", "strongest_edges"),
)


def up(migrator: Any, db: Any) -> None:
    for old, new in TABLES:
        db.execute_sql(f'ALTER TABLE "{old}" RENAME TO "{new}"')
    for table, old, new in COLUMNS:
        db.execute_sql(f'ALTER TABLE "{table}" RENAME COLUMN "{old}" TO "{new}"')
