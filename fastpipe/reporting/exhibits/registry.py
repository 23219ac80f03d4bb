"""All exhibits, in the order of the report."""

from fastpipe.reporting.exhibits import (
    adp_source,
    adp_target,
    head_norm,
    pretraining,
    similarity,
    warmup_leap,
)
from fastpipe.reporting.exhibits.exhibit import Exhibit

__all__ = ["EXHIBITS"]

EXHIBITS: tuple[Exhibit, ...] = (
    adp_target.EXHIBIT,
    adp_source.EXHIBIT,
    head_norm.EXHIBIT,
    warmup_leap.EXHIBIT,
    pretraining.ACCURACY,
    pretraining.DISTANCE,
    similarity.SIMILARITY,
    similarity.FLOW,
)
