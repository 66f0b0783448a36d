"""Tables of tokens, and of the wallets that hold or traded them."""

from __future__ import annotations

from peewee import (
    SQL,
    AutoField,
    BigIntegerField,
    BooleanField,
    CompositeKey,
    DoubleField,
    IntegerField,
    SmallIntegerField,
    TextField,
)

from tasks.storage.models.base import BaseModel


class Token(BaseModel):
    """The registry of all mints ever seen, which is also the queue of tokens to look up.

    `priority` is of the newest request (None: not queued), `stage` the index of the source to ask next,
    `partial_answer` what earlier sources returned; `claim_token` and `lease` belong to the claim of a worker.
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
    claim_token = TextField(null=True)
    asked_at = DoubleField(null=True)
    priority = BigIntegerField(null=True)
    stage = SmallIntegerField(default=0)
    partial_answer = TextField(null=True)  # JSON {"listing": {…} or None, "error": text or None}

    class Meta:
        indexes = ((("status", "wallets_seen"), False),)


class WalletMint(BaseModel):
    """A wallet that traded or holds a mint; `Token.wallets_seen` counts these rows."""

    wallet_id = IntegerField()
    mint_id = IntegerField()

    class Meta:
        primary_key = CompositeKey("wallet_id", "mint_id")


# Partial index of queued tokens: few rows of many, read before every request to a market.
Token.add_index(SQL("CREATE INDEX IF NOT EXISTS token_wanted ON token (stage, priority) WHERE priority IS NOT NULL"))
