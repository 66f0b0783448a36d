"""Tables of wallets and of what was read from the chain."""

from __future__ import annotations

from peewee import (
    AutoField,
    BigAutoField,
    BigIntegerField,
    BooleanField,
    DoubleField,
    IntegerField,
    SmallIntegerField,
    TextField,
)

from tasks.storage.models.base import BaseModel


class Wallet(BaseModel):
    """A wallet as last read from the chain. `syncs` counts finished syncs; other rows have the number of theirs."""

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


class SyncCursor(BaseModel):
    """The cursor of an unfinished sync: ranges still to list, and the listed page still to fetch."""

    wallet_id = IntegerField(primary_key=True)
    state = TextField()  # JSON of sync_cursor.Cursor, without the page
    page = TextField()  # JSON list of the last listed signatures
    position = IntegerField(default=0)  # how many of the page are done


class Movement(BaseModel):
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


class RateObservation(BaseModel):
    """A swap between SOL and dollars that a wallet signed: an observation of the price of SOL."""

    id = BigAutoField()
    wallet_id = IntegerField()
    sync_no = IntegerField()
    signature = TextField()
    block_at = BigIntegerField()
    usd = BigIntegerField()
    lamports = BigIntegerField()

    class Meta:
        indexes = ((("wallet_id", "signature"), True),)


class Unread(BaseModel):
    """A transaction that could not be read, with the reason; the next sync retries temporary ones."""

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
