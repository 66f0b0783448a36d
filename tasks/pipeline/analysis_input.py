"""What a comparison is asked to compute, as it is passed to the analysis process."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.jobs import claims
from tasks.measures.allocation import Rates
from tasks.storage.analyses import ReadWallet

LATER = "Comparison with chance, timing, insights, groups, map and behaviour come with the final result."


@dataclass(frozen=True, slots=True)
class AnalysisInput:
    """What is to be computed: into which result, under whose claim, from which data of which wallets, at which rates.

    `read` is in address order and not empty.
    """

    claim: claims.Claim
    analysis_id: int
    result_id: int
    read: list[ReadWallet]
    rates: Rates

    @property
    def in_full(self) -> bool:
        """Whether the final result is wanted, with everything in it."""
        return self.claim.kind != "provisional"
