"""The command line: a subcommand for each stage, and those for people (`check`, `status`, …).

Stages are called by Snakemake's rules. They are given the records that vouch for their inputs, and
the record that they are to write. Nothing heavy is imported until a stage runs.
"""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from fastpipe.config.names import DOWNLOADS, WORK
from fastpipe.devices import LOST, DeviceLostError
from fastpipe.errors import UserError
from fastpipe.stopping import Stopped, heed_signals
from fastpipe.warm import ADDRESS

__all__ = ["app", "main"]

app = typer.Typer(
    help=__doc__.partition("\n")[0],
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Spec = Annotated[
    str, typer.Option(help="What determines the result, as canonical JSON; - reads standard input.")
]
Identity = Annotated[str, typer.Option(help="Identity of each record to write, as JSON.")]
Record = Annotated[Path, typer.Option(help="The record that vouches for this input.")]
Out = Annotated[Path, typer.Option(help="A file beside which the outputs and the record go.")]
ConfigFile = Annotated[
    list[Path] | None,
    typer.Option("--configfile", help="Another configuration file, merged after the others."),
]

STAGES = "Stages (called by Snakemake)"


def main() -> None:
    """Entry point: a user's mistake is told in a few lines, without a traceback."""
    heed_signals()
    try:
        app()
    except Stopped as stop:
        print(stop, file=sys.stderr)
        raise
    except DeviceLostError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        _start_once_more(error)
        sys.exit(1)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except PermissionError as error:
        print(f"error: {error.filename}: {error.strerror}.", file=sys.stderr)
        sys.exit(1)


def _start_once_more(lost: DeviceLostError) -> None:
    """Become a new process that does the same from the last checkpoint, unless this is one.

    A process whose GPU has failed cannot use any; a new one may, or another GPU.
    """
    if LOST in os.environ:
        return
    print("Starting once more, in a new process.", file=sys.stderr, flush=True)
    sys.stdout.flush()
    os.environ[LOST] = lost.gpu
    os.environ.pop(ADDRESS, None)
    os.execv(sys.executable, [sys.executable, "-m", "fastpipe", *sys.argv[1:]])


def _one(identity: str) -> str:
    (value,) = json.loads(identity).values()
    return value


def _parse(model: Any, text: str) -> Any:
    return model.model_validate_json(sys.stdin.read() if text == "-" else text)


@app.command(rich_help_panel=STAGES)
def prepare(
    spec: Spec,
    identity: Identity,
    out: Out,
    downloads: Annotated[
        Path, typer.Option(envvar=DOWNLOADS, help="Cache of downloaded packages and archives.")
    ],
) -> None:
    """Images of a dataset → uint8 arrays, labels, splits and a card."""
    from fastpipe.stages.prepare import PrepareSpec, prepare

    identities = {
        name.removeprefix("prepare-").removesuffix(".json"): value
        for name, value in json.loads(identity).items()
    }
    prepare(
        _parse(PrepareSpec, spec),
        out=out.parent,
        downloads=downloads,
        work=WORK,
        identity=identities,
    )


@app.command(rich_help_panel=STAGES)
def pretrain(
    spec: Spec,
    identity: Identity,
    out: Out,
    dataset: Annotated[str, typer.Option(help="Record that vouches for its images, if any.")] = "",
    start: Annotated[str, typer.Option(help="Record of the snapshot to continue from.")] = "",
    downloads: Annotated[
        Path, typer.Option(envvar=DOWNLOADS, help="Cache of released weights.")
    ] = Path("downloads"),
) -> None:
    """One snapshot of a source: trained here, or of released weights."""
    if json.loads(spec).get("library"):
        from fastpipe.stages.released import ReleasedSpec, released

        released(
            _parse(ReleasedSpec, spec),
            dataset=Path(dataset).parent if dataset else None,
            downloads=downloads,
            out=out.parent,
            work=WORK,
            identity=_one(identity),
        )
        return
    from fastpipe.stages.pretrain import PretrainSpec, pretrain

    pretrain(
        _parse(PretrainSpec, spec),
        dataset=Path(dataset).parent,
        start=Path(start).parent if start else None,
        out=out.parent,
        work=WORK,
        identity=_one(identity),
    )


@app.command(rich_help_panel=STAGES)
def features(spec: Spec, identity: Identity, out: Out, snapshot: Record, dataset: Record) -> None:
    """Class means of a training split at a snapshot, and features of single images."""
    from fastpipe.stages.features import FeaturesSpec, features

    features(
        _parse(FeaturesSpec, spec),
        snapshot=snapshot.parent,
        dataset=dataset.parent,
        out=out.parent,
        work=WORK,
        identity=_one(identity),
    )


@app.command(rich_help_panel=STAGES)
def similarity(spec: Spec, identity: Identity, out: Out, source: Record, target: Record) -> None:
    """Earth Mover's Distance between class means, and exp(−γ d)."""
    from fastpipe.stages.similarity import SimilaritySpec, similarity

    similarity(
        _parse(SimilaritySpec, spec),
        source_features=source.parent,
        target_features=target.parent,
        out=out.parent,
        work=WORK,
        identity=_one(identity),
    )


@app.command(rich_help_panel=STAGES)
def scores(spec: Spec, identity: Identity, out: Out, features: Record) -> None:
    """LogME, LEEP and other scores of transferability, from features of a target's images."""
    from fastpipe.stages.scores import ScoresSpec, scores

    scores(
        _parse(ScoresSpec, spec),
        features=features.parent,
        out=out.parent,
        work=WORK,
        identity=_one(identity),
    )


@app.command(rich_help_panel=STAGES)
def finetune(spec: Spec, identity: Identity, out: Out, snapshot: Record, dataset: Record) -> None:
    """A pack of runs."""
    from fastpipe.stages.finetune import FinetuneSpec, finetune

    finetune(
        _parse(FinetuneSpec, spec),
        snapshot=snapshot.parent,
        dataset=dataset.parent,
        out=out.parent,
        work=WORK,
        identity=_one(identity),
    )


@app.command(rich_help_panel=STAGES)
def deploy(
    spec: Spec, identity: Identity, out: Out, pack: Record, snapshot: Record, dataset: Record
) -> None:
    """Deployed states → the target's test split: anytime performance."""
    from fastpipe.stages.deploy import DeploySpec, deploy

    deploy(
        _parse(DeploySpec, spec),
        pack=pack.parent,
        snapshot=snapshot.parent,
        dataset=dataset.parent,
        work=WORK,
        identity=_one(identity),
    )


@app.command(rich_help_panel=STAGES)
def forgetting(
    spec: Spec, identity: Identity, out: Out, pack: Record, snapshot: Record, dataset: Record
) -> None:
    """Deployed bodies with the detached source head → the source's test split."""
    from fastpipe.stages.forgetting import ForgettingSpec, forgetting

    forgetting(
        _parse(ForgettingSpec, spec),
        pack=pack.parent,
        snapshot=snapshot.parent,
        dataset=dataset.parent,
        work=WORK,
        identity=_one(identity),
    )


@app.command(rich_help_panel=STAGES)
def collect(spec: Spec, identity: Identity, out: Out) -> None:
    """Tables of a study → one DuckDB file."""
    from fastpipe.stages.collect import CollectSpec, collect

    collect(_parse(CollectSpec, spec), out=out.parent, work=WORK, identity=_one(identity))


@app.command(rich_help_panel=STAGES)
def report(spec: Spec, identity: Identity, out: Out, database: Record) -> None:
    """Charts, claims and the page of a study."""
    from fastpipe.stages.report import ReportSpec, report

    report(
        _parse(ReportSpec, spec),
        database=database.parent,
        out=out.parent,
        work=WORK,
        identity=_one(identity),
    )


@app.command()
def check(
    study: Annotated[str | None, typer.Argument(help="Default: the default study.")] = None,
    configfile: ConfigFile = None,
) -> None:
    """Validate the configuration and print a study's plan: what is done, what is not, how long."""
    from fastpipe.check import folder_lines, print_plan
    from fastpipe.config.load import load
    from fastpipe.config.plan import Plan
    from fastpipe.config.problems import ConfigurationError
    from fastpipe.workflow import configuration_files

    try:
        plan = Plan(load(configuration_files(HOME, configfile or [])))
    except ConfigurationError as error:
        raise UserError("\n".join([str(error), *folder_lines(error.config)])) from None
    print_plan(plan, study)


def _plan(configfile: list[Path] | None) -> Any:
    from fastpipe.config.load import load
    from fastpipe.config.plan import Plan
    from fastpipe.config.results import refuse_lost_results
    from fastpipe.workflow import configuration_files

    refuse_lost_results()
    return Plan(load(configuration_files(HOME, configfile or [])))


@app.command()
def verify(
    study: Annotated[str | None, typer.Argument(help="Study to verify; default: all.")] = None,
    configfile: ConfigFile = None,
) -> None:
    """Read all results again: which are damaged, stale, wanted by nobody? And how to mend it."""
    from rich.console import Console

    from fastpipe.verification import Rebuild, print_verification, reading, verify_results

    plan = _plan(configfile)
    with reading() as tell:
        result = verify_results(plan, study, tell)
    own = [] if Path("Snakefile").exists() else ["--snakefile", str(HOME / "Snakefile")]
    rebuild = Rebuild(("snakemake", *own), tuple(configfile or ()))
    print_verification(result, rebuild, Console())
    if result.damaged:
        raise typer.Exit(1)


@app.command()
def prune(
    yes: Annotated[bool, typer.Option("--yes", help="Remove without asking.")] = False,
    configfile: ConfigFile = None,
) -> None:
    """List results that no configuration asks for, and leftovers; remove them if you say so."""
    from rich.console import Console

    from fastpipe.pruning import find_prunable, print_prunable, remove

    found = find_prunable(_plan(configfile))
    print_prunable(found, Console())
    if not found.all:
        return
    if not yes and not sys.stdin.isatty():
        print("Nothing has been removed; fastpipe prune --yes does so.")
        return
    if yes or typer.confirm("Remove?"):
        for leftover, holder in remove(found.all):
            print(f"{leftover.path} stays: {holder.told}.")
        print("Removed.")


@app.command()
def unlock() -> None:
    """Who holds what here? If none of them lives, remove what they left."""
    from fastpipe.unlocking import unlock

    unlock(Path())


@app.command()
def status(
    study: Annotated[str | None, typer.Argument(help="Default: the default study.")] = None,
    configfile: ConfigFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for scripts.")] = False,
    live: Annotated[bool, typer.Option("--live", help="Go on showing it, until Ctrl-C.")] = False,
) -> None:
    """What is running on any node, what failed and why, and when the study will be done."""
    from fastpipe.status.command import print_status, status_json, watch

    def load_plan() -> Any:
        return _plan(configfile)

    if as_json:
        print(status_json(load_plan, study, WORK))
    else:
        (watch if live else print_status)(load_plan, study, WORK)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Folder of a pack: results/runs/…/seeds-0-4.")],
    out: Annotated[Path, typer.Option(help="FILE.safetensors; its card is FILE.json.")],
    seed: Annotated[int | None, typer.Option(help="Which run of the pack; default: first.")] = None,
    torchvision: Annotated[
        bool, typer.Option("--torchvision", help="For torchvision's plain model; FILE.pt as well.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
) -> None:
    """Write the model that a run deploys in the end: its weights, and a card beside them."""
    from fastpipe.export import export

    for path in export(run, out, seed=seed, torchvision=torchvision, force=force):
        print(path)


@app.command(name="pack-study")
def pack_study(
    study: Annotated[str, typer.Argument(help="Study to pack; it must be finished.")],
    out: Annotated[Path, typer.Argument(help="FILE.tar to write.")],
    weights: Annotated[
        bool, typer.Option("--weights", help="With images, weights, features and states.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    configfile: ConfigFile = None,
) -> None:
    """Pack a finished study, its report and its configuration into one file."""
    from fastpipe.config.load import load
    from fastpipe.config.plan import Plan
    from fastpipe.packing import pack_study
    from fastpipe.workflow import configuration_files

    plan = Plan(load(configuration_files(HOME, configfile or [])))
    packed = pack_study(plan, study, out, weights=weights, force=force)
    print(f"{out}: {packed.files} files, {_megabytes(packed.bytes)}")
    if packed.left_out:
        print(f"Left out, to be computed again when needed: {packed.left_out} large files.")


@app.command(name="open-study")
def open_study(
    pack: Annotated[Path, typer.Argument(help="FILE.tar of a packed study.")],
    folder: Annotated[
        Path | None, typer.Argument(help="New or empty folder; default: named after the file.")
    ] = None,
) -> None:
    """Open a packed study in a folder of its own, each file checked."""
    from fastpipe.config.names import study_folder
    from fastpipe.opening import open_study

    folder = folder or Path(pack.name).with_suffix("")
    opened = open_study(pack, folder)
    print(f"{folder}: {opened.files} files, {_megabytes(opened.bytes)}")
    if opened.left_out:
        print(f"Left out, to be computed again when needed: {opened.left_out} large files.")
    print(f"The report: {folder / study_folder(opened.study) / 'report.html'}")
    if opened.other_code:
        print(
            f"Made by other code of {', '.join(opened.other_code)} than is here: "
            "snakemake would compute what depends on it anew."
        )


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"


@app.command()
def advise(
    source: Annotated[str, typer.Option(help="Source to fine-tune.")],
    images: Annotated[
        Path | None, typer.Option(help="Folder of images, one subfolder for each class.")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="A declared dataset instead.")] = None,
    study: Annotated[
        str | None, typer.Option(help="Whose grid to learn from; default: the fullest there is.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write; default: results/advice/<dataset>.")
    ] = None,
    skip_corrupt: Annotated[
        bool, typer.Option("--skip-corrupt", help="Leave out images of the folder that are broken.")
    ] = False,
    configfile: ConfigFile = None,
) -> None:
    """Which learning rate do my images need? From their similarity to the source, and a grid."""
    from fastpipe.config.load import load
    from fastpipe.workflow import configuration_files

    config = load(configuration_files(HOME, configfile or []))
    from fastpipe.advice.command import give_advice

    give_advice(
        config, source, images=images, dataset=dataset, study=study, out=out,
        skip_corrupt=skip_corrupt,
    )  # fmt: skip


@app.command()
def schema(
    folder: Annotated[Path, typer.Argument(help="Where to write the schema.")] = Path("config"),
) -> None:
    """Write a JSON schema of configuration files, for editors."""
    from fastpipe.config.schema import write_schema

    print(write_schema(folder))


@app.command()
def pictures(
    report: Annotated[Path, typer.Argument(help="A report.html.")],
    out: Annotated[Path, typer.Argument(help="Folder for the pictures.")] = Path("pictures"),
) -> None:
    """Render a report to PNG in headless Chromium: light and dark, desktop and phone."""
    from fastpipe.reporting.pictures import render

    for picture in render(report, out):
        print(picture)


HOME = Path(__file__).parent.parent
"""The folder that holds the Snakefile and the shipped configuration."""
