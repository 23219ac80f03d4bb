"""Stage `prepare`: a dataset's images and labels as arrays, one record per split."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastpipe.config.dataset import Dataset
from fastpipe.files import write_json
from fastpipe.stages.job import Job, Part, stage_job

__all__ = ["PrepareSpec", "part_specs", "prepare"]


class PrepareSpec(Dataset):
    """A dataset of the configuration, with its name."""

    dataset: str
    """The dataset's name."""


def part_specs(spec: PrepareSpec) -> dict[str, dict[str, Any]]:
    """What each split's record says was asked for.

    `test_per_class` and `strict` move no image of train or val, so their records do not mention
    them: another number of test images changes neither record, and nothing is trained again.
    """
    whole = spec.model_dump(mode="json")
    fitted = {key: whole[key] for key in whole if key not in ("test_per_class", "strict")}
    return {"train": fitted, "val": fitted, "test": whole}


def prepare(
    spec: PrepareSpec, *, out: Path, downloads: Path, work: Path, identity: Mapping[str, str]
) -> None:
    """Get the images from the first provider that serves, and prepare them.

    Writes to `out`, for each split, `<split>-images.npy` (uint8 (n, size, size, channels)),
    `<split>-labels.npy` (int64 (n,)) and the record `prepare-<split>.json`; `card.json`, which
    counts test images too, belongs to the test record.

    Args:
        spec: the dataset.
        out: folder of the dataset.
        downloads: cache of downloaded files, shared by all datasets.
        work: the `results/.work` folder.
        identity: by split, hash of everything declared that determines it; goes into its record.

    Raises:
        UserError: no provider can serve, images cannot be read, the classes and splits asked for
            cannot be had, or (`strict`) images repeat; names what and where.
    """
    parts = {
        split: Part(
            part,
            [f"{split}-images.npy", f"{split}-labels.npy", *(["card.json"] * (split == "test"))],
        )
        for split, part in part_specs(spec).items()
    }
    packages = ("numpy", "pillow")
    with stage_job(
        "prepare", out, spec=spec, identity=identity, work=work, packages=packages, parts=parts
    ) as job:
        _prepare(spec, job, downloads)


def _prepare(spec: PrepareSpec, job: Job, downloads: Path) -> None:
    # Imported late: whoever only wants the spec's model is spared torch.
    from fastpipe.data.preparation import (
        card,
        choose,
        refuse_repeated,
        refuse_unreadable,
        write_split,
    )
    from fastpipe.data.providers.serve import describe, serve

    provider, provided = serve(spec.providers, spec.sha256, downloads)
    classes, splits = choose(spec, provided)
    images = sum(len(chosen.indices) for chosen in splits.values())
    with job.progress(f"prepare {spec.dataset}", images, "images") as progress:
        written = {
            split: write_split(
                chosen,
                spec,
                job.output(f"{split}-images.npy"),
                job.output(f"{split}-labels.npy"),
                whole=split == "train",
                advance=progress.advance,
            )
            for split, chosen in splits.items()
        }
    refuse_unreadable(written, classes, skip=spec.skip_corrupt)
    if spec.strict:
        refuse_repeated(written, classes)
    facts = card(spec.dataset, spec, describe(provider), provided, classes, written)
    write_json(job.output("card.json"), facts)
    _state_facts(job, facts)


def _state_facts(job: Job, card: dict[str, Any]) -> None:
    job.state_fact(**{key: card[key] for key in ("classes", "size", "view", "channels")})
    for split, count in card["images"].items():
        facts = {"count": count, "per_class": card["per_class"][split]}
        if split == "train":
            facts |= {"mean": card["mean"], "std": card["std"]}
        job.state_fact(**{split: facts})
    job.measure(images=sum(card["images"].values()))
