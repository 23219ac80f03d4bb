"""What holds for everything: the machine, where downloads go, how runs are packed."""

from pydantic import Field

from fastpipe.config.compute import Compute
from fastpipe.config.model import Model, PathText


class Settings(Model):
    """Settings of the whole graph."""

    compute: Compute = Compute()
    """On what numbers are computed."""

    gpu_slots: int = Field(default=1, ge=1, le=64)
    """Jobs that share a GPU of this machine at once. It is no part of what determines a result."""

    downloads: PathText = "~/.cache/fastpipe"
    """Folder for downloaded packages and archives, shared by all results folders."""

    results: str | None = None
    """Folder for results, for example on a larger disk: `results` in the working directory becomes
    a link to it. `~` is expanded; a relative path is taken from the working directory."""

    pack_seeds: int = Field(default=5, ge=1)
    """Seeds trained by one job: an aligned block, 0–4, 5–9, …, always whole, so that asking for
    more seeds later never trains a run twice."""

    gamma: float = Field(default=0.01, gt=0)
    """γ of the domain similarity exp(−γ d)."""

    min_count: int = Field(default=0, ge=0)
    """Source classes with fewer images do not take part in the domain similarity."""

    similarity_images_per_class: int | None = Field(default=None, ge=1)
    """Training images of each class behind the class means of the domain similarity; default: all.
    They are drawn once for a dataset."""

    score_images_per_class: int = Field(default=200, ge=2)
    """Images of each class, of the training and of the validation split, behind the scores of
    transferability; drawn once for a dataset."""

    default_study: str = "demo"
    """Study that plain `snakemake` builds."""
