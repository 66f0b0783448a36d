"""Tables of analyses, their intake and their wallets."""

from __future__ import annotations

from peewee import (
    AutoField,
    BigIntegerField,
    BooleanField,
    CompositeKey,
    DoubleField,
    IntegerField,
    TextField,
)

from tasks.storage.models.base import BaseModel


class Analysis(BaseModel):
    """A comparison that a user started: its wallets are `AnalysisWallet` rows, its shown result `result_id`."""

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


class AnalysisIntake(BaseModel):
    """The rejected and duplicate rows of the input, as JSON with reasons."""

    analysis_id = IntegerField(primary_key=True)
    rejected = TextField()
    duplicates = TextField()


class AnalysisWallet(BaseModel):
    """A wallet within an analysis, in address order (`position`), with the bounds of the data that its result used."""

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
