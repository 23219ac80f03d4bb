"""What is compared: arms, their sweeps, and the scales of a study."""

from typing import Annotated, Literal

from pydantic import Field

from fastpipe.config.model import Model, Name

Scalar = bool | int | float | str
Override = Scalar | list[Scalar | list[Scalar]]
RateName = Annotated[str, Field(pattern=r"^[A-Za-z_]+$")]
Rate = Annotated[float, Field(gt=0)]
Role = Literal["fast", "baseline", "warmup", "feature-extraction", "scratch", "other"]


class Arm(Model):
    """A recipe, perhaps with overrides or a sweep, on snapshots and targets."""

    recipe: str
    """Name of the recipe."""

    snapshots: tuple[str, ...] = Field(min_length=1)
    """Where runs start, each `source@epoch`; `source@last` and `source@all` also work."""

    targets: tuple[str, ...] = Field(min_length=1)
    """Names of the datasets to fine-tune on."""

    seeds: int | None = Field(default=None, ge=1)
    """Number of seeds, 0, 1, 2, …; default: the study's."""

    overrides: dict[str, Override] = Field(default_factory=dict)
    """Recipe fields to change; a list is a sweep: one variant for each of its values (of
    `milestones`, which are a list themselves, a list of lists). `lr` stands for `alpha` and `beta`
    together. These rates may be multiples of one that the scale declares: `c`, `0.2 c`."""

    role: Role = "other"
    """What the arm stands for in claims and summary sentences."""


class Scale(Model):
    """One size of a study: other datasets, sources, steps and seeds, the same questions."""

    description: str = ""
    """One sentence on data, network and steps at this scale, shown in the report."""

    rename: dict[str, str] = Field(default_factory=dict)
    """Names of sources and datasets used in the arms → the names that they stand for."""

    seeds: int | None = Field(default=None, ge=1)
    """Number of seeds; default: the study's."""

    rates: dict[RateName, Rate | dict[str, Rate]] = Field(default_factory=dict)
    """Learning rates by name, for all sources or for each source (by its name in the arms)."""

    findings: dict[str, str] = Field(default_factory=dict)
    """Claim → why it comes out as it does at this scale, found by a further experiment; shown
    beside the verdict, which is always computed."""

    overrides: dict[str, Scalar | dict[str, Scalar]] = Field(default_factory=dict)
    """Recipe fields set in every arm, unless the arm sets them itself; one value, or one for each
    target (by its name in the arms)."""

    targets: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Source → those of the arms' targets on which it is fine-tuned at this scale (both by their
    names in the arms); default: all of them."""

    arms: dict[str, dict[str, Override]] = Field(default_factory=dict)
    """Arm → overrides that take the place of its own at this scale, such as a grid's rates."""


class Study(Model):
    """Arms and what is drawn from them."""

    title: str
    """Heading of the report."""

    description: str = ""
    """What is asked, in a few sentences, for a reader who does not know the paper."""

    seeds: int = Field(default=5, ge=1)
    """Number of seeds of every arm that does not say otherwise."""

    forgetting: bool = True
    """Measure what runs forget of their source's task."""

    extractors: tuple[str, ...] = ()
    """Snapshots in whose features source and target are also compared, each `source@epoch`; always
    in those of the run's own snapshot."""

    arms: dict[Name, Arm] = Field(default_factory=dict)
    """Arms by label, in the order of the report's legends."""

    exhibits: tuple[str, ...] = ()
    """Exhibits to draw, for example A-F3; default: the general ones."""

    claims: tuple[str, ...] = ()
    """Claims to judge, for example A7."""

    includes: tuple[str, ...] = ()
    """Other studies whose runs, exhibits and claims are part of this one's report."""

    scales: dict[Name, Scale] = Field(default_factory=dict)
    """Sizes of the study: `demo` is the study's own name, any other is `study-scale`."""
