"""What enrichment keeps: who waits for news of a token, who is asking, what its jobs came to, and who has seen it.

What is known already is carried over: the wallets that traded or hold each mint, and the mints of each result.
"""

import json
from typing import Any

from peewee import (
    BigIntegerField,
    CompositeKey,
    DoubleField,
    IntegerField,
    Model,
    SmallIntegerField,
    TextField,
    chunked,
)


class JobMint(Model):
    job_id = TextField()
    mint_id = IntegerField(index=True)
    outcome = TextField(null=True)

    class Meta:
        table_name = "job_mint"
        primary_key = CompositeKey("job_id", "mint_id")


class ResultMint(Model):
    result_id = IntegerField()
    mint_id = IntegerField()
    wallets = IntegerField()
    spent_sol = DoubleField()

    class Meta:
        table_name = "result_mint"
        primary_key = CompositeKey("result_id", "mint_id")


class WalletMint(Model):
    wallet_id = IntegerField()
    mint_id = IntegerField()

    class Meta:
        table_name = "wallet_mint"
        primary_key = CompositeKey("wallet_id", "mint_id")


TABLES = (JobMint, ResultMint, WalletMint)


def up(migrator: Any, db: Any) -> None:
    migrator.migrate(
        migrator.add_column("token", "claim", TextField(null=True)),
        migrator.add_column("token", "asked_at", DoubleField(null=True)),
        migrator.add_column("token", "priority", BigIntegerField(null=True)),
        migrator.add_column("token", "stage", SmallIntegerField(default=0)),
        migrator.add_column("token", "heard", TextField(null=True)),
        migrator.add_column("job", "counts", TextField(null=True)),
        migrator.add_index("token", ("status", "wallets_seen"), False),
    )
    db.execute_sql("CREATE INDEX token_wanted ON token (stage, priority) WHERE priority IS NOT NULL")
    db.bind(TABLES)
    db.create_tables(TABLES)
    db.execute_sql(
        "INSERT INTO result_mint (result_id, mint_id, wallets, spent_sol) "
        "SELECT result_id, mint_id, COUNT(*), SUM(spent_sol) FROM allocation GROUP BY result_id, mint_id"
    )
    _carry_over_sightings(db)


def _carry_over_sightings(db: Any) -> None:
    db.execute_sql(
        "INSERT INTO wallet_mint (wallet_id, mint_id) "
        "SELECT DISTINCT wallet_id, mint_id FROM movement WHERE side IN (0, 1) AND mint_id > 0"
    )
    held = db.execute_sql("SELECT id, holdings FROM wallet WHERE holdings IS NOT NULL").fetchall()
    pairs = [(wallet_id, int(mint_id)) for wallet_id, text in held for mint_id, n in json.loads(text).items() if int(n)]
    for part in chunked(pairs, 500):
        fields = [WalletMint.wallet_id, WalletMint.mint_id]
        WalletMint.insert_many(part, fields=fields).on_conflict_ignore().execute()
    db.execute_sql(
        "UPDATE token SET wallets_seen = (SELECT COUNT(*) FROM wallet_mint WHERE wallet_mint.mint_id = token.id)"
    )
