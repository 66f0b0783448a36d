"""The input of a comparison, as it is passed to the analysis process."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.jobs import claims
from tasks.measures.allocation import Rates
from tasks.storage.analyses import ReadWallet


@dataclass(frozen=True, slots=True)
class AnalysisInput:
    """The claim of the job, the result to fill, the wallets with the data they have now, and the rates.

    `wallets` is in address order and not empty.
    """

    claim: claims.Claim
    analysis_id: int
    result_id: int
    wallets: list[ReadWallet]
    rates: Rates

    @property
    def is_final(self) -> bool:
        """Whether this is the final comparison, with every measure; a provisional one has the base measures alone."""
        return self.claim.kind != "provisional"
