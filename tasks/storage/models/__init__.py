"""The tables, as peewee models. Holds no queries; those are in the modules named after their subject."""

from __future__ import annotations

from tasks.storage.models.analyses import Analysis, AnalysisIntake, AnalysisWallet
from tasks.storage.models.jobs import Job, JobAnalysis, JobEvent, JobMint, ScheduleTick
from tasks.storage.models.operations import Counter, Heartbeat, RpcCapabilities, SigningKey
from tasks.storage.models.results import Allocation, Pair, PairOrder, Result, ResultCluster, ResultMint, ResultWallet
from tasks.storage.models.tokens import Token, WalletMint
from tasks.storage.models.wallets import Movement, RateObservation, SyncCursor, Unread, Wallet

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
    ScheduleTick,
    RpcCapabilities,
    Heartbeat,
    Counter,
    SigningKey,
)
