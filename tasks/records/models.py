"""The tables, as peewee models. Holds no queries; those are in the modules named after their subject."""

from __future__ import annotations

from peewee import (
    SQL,
    AutoField,
    BigAutoField,
    BigIntegerField,
    BooleanField,
    CompositeKey,
    DatabaseProxy,
    DoubleField,
    IntegerField,
    Model,
    SmallIntegerField,
    TextField,
)

db = DatabaseProxy()


class Record(Model):
    class Meta:
        database = db
        legacy_table_names = False


class Wallet(Record):
    """A wallet as last read from the chain. `syncs` counts the finished syncs; rows carry the number of theirs."""

    id = AutoField()
    address = TextField(unique=True)
    state = TextField(null=True)  # synced | partial | failed; None before the first sync ends
    reason = TextField(null=True)
    truncated = BooleanField(default=False)
    synced_at = DoubleField(null=True)
    syncs = IntegerField(default=0)
    transactions = IntegerField(default=0)
    newest_slot = BigIntegerField(null=True)
    newest_signature = TextField(null=True)
    oldest_slot = BigIntegerField(null=True)
    oldest_signature = TextField(null=True)
    holdings = TextField(null=True)  # JSON {mint id: base units as text}; None when unknown
    lamports = BigIntegerField(null=True)


class SyncCursor(Record):
    """Where an unfinished sync stands: history ranges still to list, and the listed page still to fetch."""

    wallet_id = IntegerField(primary_key=True)
    state = TextField()  # JSON of wallets.Cursor, without the page
    page = TextField()  # JSON list of the signatures listed last
    position = IntegerField(default=0)  # how many of the page are done


class Movement(Record):
    """What one transaction did to one wallet and mint: a trade, a transfer, or a failed attempt (mint 0)."""

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
        indexes = ((("wallet_id", "signature", "mint_id", "side"), True),)


class RateObservation(Record):
    """A swap between SOL and dollars that a wallet signed; it observes the price of SOL."""

    id = BigAutoField()
    wallet_id = IntegerField()
    sync_no = IntegerField()
    signature = TextField()
    block_at = BigIntegerField()
    usd = BigIntegerField()
    lamports = BigIntegerField()

    class Meta:
        indexes = ((("wallet_id", "signature"), True),)


class Unread(Record):
    """A transaction that could not be read, with the reason; the temporary ones are asked again at the next sync."""

    id = BigAutoField()
    wallet_id = IntegerField()
    signature = TextField()
    slot = BigIntegerField()
    transaction_index = IntegerField(null=True)
    block_at = BigIntegerField(null=True)
    reason = TextField()
    permanent = BooleanField()

    class Meta:
        indexes = ((("wallet_id", "signature"), True),)


class Token(Record):
    """The registry: every mint ever seen, for all users."""

    id = AutoField()
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


class Analysis(Record):
    """One question a person asked: these wallets, under these parameters."""

    id = AutoField()
    key = TextField(unique=True)
    owner = TextField(null=True, index=True)
    idempotency_key = TextField(null=True, unique=True)
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


class AnalysisIntake(Record):
    """The rows of the input that were not taken, with their reasons."""

    analysis_id = IntegerField(primary_key=True)
    rejected = TextField()
    duplicates = TextField()


class AnalysisWallet(Record):
    """A wallet within an analysis, in address order (`position`), with the bounds of the data that were used."""

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
        primary_key = CompositeKey("analysis_id", "position")
        indexes = ((("analysis_id", "wallet_id"), True), (("analysis_id", "state"), False))


class Result(Record):
    """What was computed for an analysis at one moment; an analysis points at the one that readers see."""

    id = AutoField()
    analysis_id = IntegerField(index=True)
    provisional = BooleanField()
    wallets = IntegerField()
    computed_at = DoubleField()
    duration_s = DoubleField()
    summary = TextField()
    rates = TextField()
    version = TextField()
    dropped = BooleanField(default=False)  # its rows are deleted; the number is never used again


class Allocation(Record):
    """What one wallet did with one mint inside the window, under one result."""

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
        primary_key = CompositeKey("result_id", "position", "mint_id")
        indexes = ((("result_id", "mint_id"), False),)


class Pair(Record):
    """Two wallets of a result (positions, wallet_a < wallet_b) and their measures; None is "not enough data"."""

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
        primary_key = CompositeKey("result_id", "wallet_a", "wallet_b")
        indexes = (
            (("result_id", "wallet_b"), False),
            (("result_id", "overall", "wallet_a", "wallet_b"), False),
        )


class Job(Record):
    """A piece of background work. The row is the truth; a message in a queue is only a hint to look at it."""

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
        indexes = (
            (("state", "queue"), False),
            (("enqueued_at",), False),
        )


LIVE_JOB = ("queued", "running")  # states of a job that has not ended

# One job per subject among those not ended: two analyses that want the same wallet wait for one.
Job.add_index(
    SQL("CREATE UNIQUE INDEX IF NOT EXISTS job_active ON job (kind, subject) WHERE state IN ('queued', 'running')")
)


class JobEvent(Record):
    """A change of state of a job; rows are only ever added."""

    id = BigAutoField()
    job_id = TextField(index=True)
    at = DoubleField()
    state = TextField()
    detail = TextField(null=True)


class JobAnalysis(Record):
    """Who waits for a job. `state` is waiting, or cancelled when the analysis no longer wants it."""

    job_id = TextField()
    analysis_id = IntegerField(index=True)
    state = TextField(default="waiting")

    class Meta:
        primary_key = CompositeKey("job_id", "analysis_id")


class Tick(Record):
    """A moment of the schedule that somebody has taken."""

    name = TextField()
    minute = BigIntegerField()

    class Meta:
        primary_key = CompositeKey("name", "minute")


class EndpointTraits(Record):
    """What was learnt of an RPC endpoint, by the hash of its address (which may hold a key)."""

    endpoint = TextField(primary_key=True)
    traits = TextField()
    learnt_at = DoubleField()


MODELS = (
    Wallet,
    SyncCursor,
    Movement,
    RateObservation,
    Unread,
    Token,
    Analysis,
    AnalysisIntake,
    AnalysisWallet,
    Result,
    Allocation,
    Pair,
    Job,
    JobEvent,
    JobAnalysis,
    Tick,
    EndpointTraits,
)
