"""All claims that a study may ask for."""

from fastpipe.reporting.claims import a5, a7, a9
from fastpipe.reporting.claims.claim import Claim

__all__ = ["CLAIMS"]

CLAIMS: dict[str, Claim] = {claim.id: claim for claim in (a5.CLAIM, a7.CLAIM, a9.CLAIM)}
