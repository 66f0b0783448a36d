"""The tables, as peewee models. Holds no queries; those are in the modules named after their subject."""

from __future__ import annotations

from peewee import (
    SQL,
    AutoField,
    BigAutoField,
    BigIntegerField,
    BooleanField,
    CompositeKey,
    DoubleField,
    IntegerField,
    SmallIntegerField,
    TextField,
)

from tasks.records.job_tables import LIVE_JOB as LIVE_JOB
from tasks.records.job_tables import Job as Job
from tasks.records.job_tables import JobAnalysis as JobAnalysis
from tasks.records.job_tables import JobEvent as JobEvent
from tasks.records.job_tables import JobMint as JobMint
from tasks.records.job_tables import Tick as Tick
from tasks.records.result_tables import Allocation as Allocation
from tasks.records.result_tables import Pair as Pair
from tasks.records.result_tables import PairOrder as PairOrder
from tasks.records.result_tables import Result as Result
from tasks.records.result_tables import ResultCluster as ResultCluster
from tasks.records.result_tables import ResultMint as ResultMint
from tasks.records.result_tables import ResultWallet as ResultWallet
from tasks.records.table import Record
from tasks.records.table import db as db
from tasks.records.watch_tables import Counter as Counter
from tasks.records.watch_tables import Heartbeat as Heartbeat


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
    """The registry: every mint ever seen, for all users, and whether somebody waits for news of it.

    `priority` is the place of the newest request for it (None: nobody waits), `stage` the place in the order of sources
    of the one to be asked next, `heard` what those before it said, `claim` and `lease` who asks now and until when.
    """

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
    claim = TextField(null=True)
    asked_at = DoubleField(null=True)
    priority = BigIntegerField(null=True)
    stage = SmallIntegerField(default=0)
    heard = TextField(null=True)  # JSON {"listing": {…} or None, "error": text or None}

    class Meta:
        indexes = ((("status", "wallets_seen"), False),)


# What is waited for, by its place: few rows of many, looked through before every request to a market.
Token.add_index(SQL("CREATE INDEX IF NOT EXISTS token_wanted ON token (stage, priority) WHERE priority IS NOT NULL"))


class WalletMint(Record):
    """A wallet has traded or held a mint: what `wallets_seen` of the registry counts."""

    wallet_id = IntegerField()
    mint_id = IntegerField()

    class Meta:
        primary_key = CompositeKey("wallet_id", "mint_id")


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


class EndpointTraits(Record):
    """What was learnt of an RPC endpoint, by the hash of its address (which may hold a key)."""

    endpoint = TextField(primary_key=True)
    traits = TextField()
    learnt_at = DoubleField()


class Signing(Record):
    """The key that signs cookies, for all machines on one PostgreSQL; on SQLite there is none, but a file."""

    id = IntegerField(primary_key=True)
    secret = TextField()


MODELS = (
    Wallet,
    SyncCursor,
    Movement,
    RateObservation,
    Unread,
    Token,
    WalletMint,
    Analysis,
    AnalysisIntake,
    AnalysisWallet,
    Result,
    Allocation,
    ResultMint,
    ResultWallet,
    ResultCluster,
    Pair,
    PairOrder,
    Job,
    JobEvent,
    JobAnalysis,
    JobMint,
    Tick,
    EndpointTraits,
    Heartbeat,
    Counter,
    Signing,
)
