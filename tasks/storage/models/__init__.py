"""The tables, as peewee models, one module per subject; queries are in the modules of `tasks.storage`."""

from __future__ import annotations

from tasks.storage.models import analyses, jobs, operations, results, tokens, wallets

MODELS = (
    wallets.Wallet,
    wallets.SyncCursor,
    wallets.Movement,
    wallets.RateObservation,
    wallets.Unread,
    tokens.Token,
    tokens.WalletMint,
    analyses.Analysis,
    analyses.AnalysisIntake,
    analyses.AnalysisWallet,
    results.Result,
    results.Allocation,
    results.ResultMint,
    results.ResultWallet,
    results.ResultCluster,
    results.Pair,
    results.PairOrder,
    jobs.Job,
    jobs.JobEvent,
    jobs.JobAnalysis,
    jobs.JobMint,
    jobs.ScheduleTick,
    operations.RpcCapabilities,
    operations.Heartbeat,
    operations.Counter,
    operations.SigningKey,
)
