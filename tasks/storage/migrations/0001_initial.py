"""The first tables. A frozen copy: later changes to the models come as later steps."""

from typing import Any

from peewee import (
    BigAutoField,
    BigIntegerField,
    BooleanField,
    CompositeKey,
    DoubleField,
    IntegerField,
    Model,
    SmallIntegerField,
    TextField,
)


class Allocation(Model):
    result_id = IntegerField()
    position = IntegerField()
    mint_id = IntegerField()
    buys = IntegerField()
    sells = IntegerField()
    bought = TextField()
    sold = TextField()
    spent_sol = DoubleField()
    received_sol = DoubleField()
    first_buy_at = BigIntegerField(null=True)
    last_trade_at = BigIntegerField()
    weight = DoubleField()

    class Meta:
        table_name = "allocation"
        primary_key = CompositeKey("result_id", "position", "mint_id")
        indexes = ((("result_id", "mint_id"), False),)


class Analysis(Model):
    key = TextField(unique=True)
    owner = TextField(index=True, null=True)
    idempotency_key = TextField(unique=True, null=True)
    parent_id = IntegerField(null=True)
    label = TextField(default="")
    state = TextField(index=True)
    reason = TextField(null=True)
    created_at = DoubleField()
    finished_at = DoubleField(null=True)
    window_days = DoubleField(null=True)
    timing_window_s = IntegerField()
    tau = DoubleField()
    exclude = TextField()
    history_limit = IntegerField()
    version = TextField()
    wallets = IntegerField()
    result_id = IntegerField(null=True)

    class Meta:
        table_name = "analysis"


class AnalysisIntake(Model):
    analysis_id = IntegerField(primary_key=True)
    rejected = TextField()
    duplicates = TextField()

    class Meta:
        table_name = "analysis_intake"


class AnalysisWallet(Model):
    analysis_id = IntegerField()
    position = IntegerField()
    wallet_id = IntegerField(index=True)
    line = IntegerField()
    label = TextField(null=True)
    state = TextField(default="waiting")
    reason = TextField(null=True)
    truncated = BooleanField(default=False)
    transactions = IntegerField(default=0)
    trades = IntegerField(null=True)
    mints = IntegerField(null=True)
    sync_no = IntegerField(null=True)
    newest_slot = BigIntegerField(null=True)
    newest_signature = TextField(null=True)
    oldest_slot = BigIntegerField(null=True)
    oldest_signature = TextField(null=True)
    holdings = TextField(null=True)

    class Meta:
        table_name = "analysis_wallet"
        primary_key = CompositeKey("analysis_id", "position")
        indexes = ((("analysis_id", "wallet_id"), True), (("analysis_id", "state"), False))


class EndpointTraits(Model):
    endpoint = TextField(primary_key=True)
    traits = TextField()
    learnt_at = DoubleField()

    class Meta:
        table_name = "endpoint_traits"


class Job(Model):
    id = TextField(primary_key=True)
    queue = TextField()
    kind = TextField()
    subject = TextField()
    tier = SmallIntegerField()
    priority = BigIntegerField()
    state = TextField(default="queued")
    done = IntegerField(default=0)
    total = IntegerField(null=True)
    attempts = IntegerField(default=0)
    lost_leases = IntegerField(default=0)
    error = TextField(null=True)
    claim = TextField(null=True)
    holder = TextField(null=True)
    lease_until = DoubleField(null=True)
    due_at = DoubleField(null=True)
    enqueued_at = DoubleField()
    announced_at = DoubleField(null=True)
    started_at = DoubleField(null=True)
    finished_at = DoubleField(null=True)

    class Meta:
        table_name = "job"
        indexes = ((("state", "queue"), False), (("enqueued_at",), False))


class JobAnalysis(Model):
    job_id = TextField()
    analysis_id = IntegerField(index=True)
    state = TextField(default="waiting")

    class Meta:
        table_name = "job_analysis"
        primary_key = CompositeKey("job_id", "analysis_id")


class JobEvent(Model):
    id = BigAutoField()
    job_id = TextField(index=True)
    at = DoubleField()
    state = TextField()
    detail = TextField(null=True)

    class Meta:
        table_name = "job_event"


class Movement(Model):
    id = BigAutoField()
    wallet_id = IntegerField()
    sync_no = IntegerField()
    slot = BigIntegerField()
    transaction_index = IntegerField(null=True)
    block_at = BigIntegerField(null=True)
    signature = TextField()
    side = SmallIntegerField()
    mint_id = IntegerField()
    amount = TextField(null=True)
    decimals = SmallIntegerField(null=True)
    quote = TextField(null=True)
    quote_amount = BigIntegerField(null=True)
    parts = SmallIntegerField(default=1)
    approximate = BooleanField(default=False)

    class Meta:
        table_name = "movement"
        indexes = ((("wallet_id", "signature", "mint_id", "side"), True),)


class Pair(Model):
    result_id = IntegerField()
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

    class Meta:
        table_name = "pair"
        primary_key = CompositeKey("result_id", "wallet_a", "wallet_b")
        indexes = ((("result_id", "wallet_b"), False), (("result_id", "overall", "wallet_a", "wallet_b"), False))


class RateObservation(Model):
    id = BigAutoField()
    wallet_id = IntegerField()
    sync_no = IntegerField()
    signature = TextField()
    block_at = BigIntegerField()
    usd = BigIntegerField()
    lamports = BigIntegerField()

    class Meta:
        table_name = "rate_observation"
        indexes = ((("wallet_id", "signature"), True),)


class Result(Model):
    analysis_id = IntegerField(index=True)
    provisional = BooleanField()
    wallets = IntegerField()
    computed_at = DoubleField()
    duration_s = DoubleField()
    summary = TextField()
    rates = TextField()
    version = TextField()
    dropped = BooleanField(default=False)

    class Meta:
        table_name = "result"


class SyncCursor(Model):
    wallet_id = IntegerField(primary_key=True)
    state = TextField()
    page = TextField()
    position = IntegerField(default=0)

    class Meta:
        table_name = "sync_cursor"


class Tick(Model):
    name = TextField()
    minute = BigIntegerField()

    class Meta:
        table_name = "tick"
        primary_key = CompositeKey("name", "minute")


class Token(Model):
    mint = TextField(unique=True)
    name = TextField(null=True)
    symbol = TextField(null=True)
    decimals = SmallIntegerField(null=True)
    image_url = TextField(null=True)
    price_usd = DoubleField(null=True)
    liquidity_usd = DoubleField(null=True)
    volume_24h_usd = DoubleField(null=True)
    market_cap_usd = DoubleField(null=True)
    price_source = TextField(null=True)
    last_updated = DoubleField(null=True)
    is_active = BooleanField(default=True)
    status = TextField(default="pending")
    attempts = IntegerField(default=0)
    next_attempt_at = DoubleField(null=True)
    lease = DoubleField(null=True)
    last_error = TextField(null=True)
    wallets_seen = IntegerField(default=0)
    first_seen_at = DoubleField()

    class Meta:
        table_name = "token"


class Unread(Model):
    id = BigAutoField()
    wallet_id = IntegerField()
    signature = TextField()
    slot = BigIntegerField()
    transaction_index = IntegerField(null=True)
    block_at = BigIntegerField(null=True)
    reason = TextField()
    permanent = BooleanField()

    class Meta:
        table_name = "unread"
        indexes = ((("wallet_id", "signature"), True),)


class Wallet(Model):
    address = TextField(unique=True)
    state = TextField(null=True)
    reason = TextField(null=True)
    truncated = BooleanField(default=False)
    synced_at = DoubleField(null=True)
    syncs = IntegerField(default=0)
    transactions = IntegerField(default=0)
    newest_slot = BigIntegerField(null=True)
    newest_signature = TextField(null=True)
    oldest_slot = BigIntegerField(null=True)
    oldest_signature = TextField(null=True)
    holdings = TextField(null=True)
    lamports = BigIntegerField(null=True)

    class Meta:
        table_name = "wallet"


TABLES = (
    Allocation,
    Analysis,
    AnalysisIntake,
    AnalysisWallet,
    EndpointTraits,
    Job,
    JobAnalysis,
    JobEvent,
    Movement,
    Pair,
    RateObservation,
    Result,
    SyncCursor,
    Tick,
    Token,
    Unread,
    Wallet,
)


def up(migrator: Any, db: Any) -> None:
    db.bind(TABLES)
    db.create_tables(TABLES)
    db.execute_sql("CREATE UNIQUE INDEX job_active ON job (kind, subject) WHERE state IN ('queued', 'running')")
