"""The tables of what was computed for analyses. Holds no queries; `models.py` names these beside all the others."""

from __future__ import annotations

from peewee import (
    AutoField,
    BigIntegerField,
    BlobField,
    BooleanField,
    CompositeKey,
    DoubleField,
    IntegerField,
    SmallIntegerField,
    TextField,
)

from tasks.storage.models.base import BaseModel


class Result(BaseModel):
    """What was computed for an analysis at one time; `Analysis.result_id` is the one that readers see.

    JSON: `parameters` used, `background` {"wallets", "mints", "reason"} of the population of chance, `explained` [share
    of x, share of y] of the map, `insights` [{"insight", "pairs", "number"}] with the number of the strongest pair,
    `missing` [sentences] about what a provisional or partial result lacks.
    """

    id = AutoField()
    analysis_id = IntegerField(index=True)
    provisional = BooleanField()
    wallets = IntegerField()
    computed_at = DoubleField()
    duration_s = DoubleField()
    summary = TextField()
    rates = TextField()
    version = TextField()
    dropped = BooleanField(default=False)  # its rows are deleted; the number is never reused
    unseen_at = DoubleField(null=True)  # when it was first found replaced
    parameters = TextField(default="{}")
    background = TextField(default="{}")
    explained = TextField(default="[]")
    insights = TextField(default="[]")
    missing = TextField(default="[]")


class Allocation(BaseModel):
    """The trades of one wallet in one mint inside the window, in one result."""

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


class ResultMint(BaseModel):
    """A mint of a result: how many of its wallets traded it, and the SOL they spent on it."""

    result_id = IntegerField()
    mint_id = IntegerField()
    wallets = IntegerField()
    spent_sol = DoubleField()

    class Meta:
        primary_key = CompositeKey("result_id", "mint_id")


class ResultWallet(BaseModel):
    """A wallet in a result: its cluster, its coordinates on the map, and its behaviour (JSON)."""

    result_id = IntegerField()
    position = IntegerField()
    cluster = IntegerField(null=True)
    x = DoubleField(null=True)
    y = DoubleField(null=True)
    behaviour = TextField()

    class Meta:
        primary_key = CompositeKey("result_id", "position")


class ResultCluster(BaseModel):
    """A cluster of a result. JSON lists: positions of members and of weak bridges, ids of shared mints.

    `strongest_edges` has for each member [position of the partner, overall] of its strongest edge and the number of its
    edges inside the cluster; it is empty for results of earlier versions without that data.
    """

    result_id = IntegerField()
    number = IntegerField()
    cohesion = DoubleField()
    members = TextField()
    weak_bridges = TextField()
    shared_mints = TextField()
    edges = IntegerField()
    strongest_edges = TextField(default="[]")

    class Meta:
        primary_key = CompositeKey("result_id", "number")


class Pair(BaseModel):
    """Two wallets of a result (positions, wallet_a < wallet_b) and their measures; None means not enough data.

    `number` is the rank by `overall`, 0 the best. `leader` is 0 for neither, 1 for a, 2 for b; `insights` has a bit
    for each of `insights.RULES`, the first the lowest.
    """

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
        primary_key = CompositeKey("result_id", "number")
        indexes = (
            (("result_id", "wallet_a", "wallet_b"), True),
            (("result_id", "wallet_b"), False),
        )


class PairOrder(BaseModel):
    """A list of pair numbers of a result, in chunks of 10,000 little-endian 32-bit integers.

    `sort` names the list: a measure (all pairs, best first), `insight:…` or `cluster:…` (those pairs, by number), or
    `edges` (the pairs that are edges of clusters, by number).
    """

    result_id = IntegerField()
    sort = TextField()
    chunk = IntegerField()
    numbers = BlobField()

    class Meta:
        primary_key = CompositeKey("result_id", "sort", "chunk")
