"""Change a constant anywhere, and exactly the stages that use it run again; a comment: none."""

import ast
import dataclasses
import functools
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from fastpipe.audit import State, audit
from fastpipe.config import plan as plan_module
from fastpipe.config.config import Config
from fastpipe.config.fingerprint import HOUSEKEEPING, closure, fingerprint
from fastpipe.config.load import load
from fastpipe.config.names import STAGES
from fastpipe.config.plan import Plan
from fastpipe.workflow import configuration_files

pytestmark = pytest.mark.workflow

ALL = set(STAGES)
SUMMARY = {"collect", "report"}
SEEN = {"features", "similarity", "scores"}
TRAINING = {"pretrain", "finetune", "deploy", "forgetting"} | SEEN | SUMMARY
FOLLOWERS = {
    "prepare": ALL,
    "pretrain": TRAINING,
    "features": SEEN | SUMMARY,
    "similarity": {"similarity"} | SUMMARY,
    "scores": {"scores"} | SUMMARY,
    "finetune": {"finetune", "deploy", "forgetting"} | SUMMARY,
    "deploy": {"deploy"} | SUMMARY,
    "forgetting": {"forgetting"} | SUMMARY,
    "collect": SUMMARY,
    "report": {"report"},
}
"""Stage → itself and all stages downstream."""

KNOWN = {
    "data/splits.py": ALL,
    "files.py": ALL,
    "models/network.py": TRAINING,
    "training/pretraining.py": TRAINING,
    "training/loop.py": FOLLOWERS["finetune"],
    "training/protocol.py": FOLLOWERS["finetune"],
    "similarity/features.py": FOLLOWERS["features"],
    "similarity/emd.py": FOLLOWERS["similarity"],
    "similarity/logme.py": FOLLOWERS["scores"],
    "stages/finetune.py": FOLLOWERS["finetune"],
    "stages/packs.py": {"deploy", "forgetting"} | SUMMARY,
    "stages/deploy.py": FOLLOWERS["deploy"],
    "reporting/database/runs.sql": SUMMARY,
    "reporting/exhibits/adp_target.py": {"report"},
    "reporting/claims/a7.py": {"report"},
    "reporting/theme.py": {"report"},
    "reporting/page/page.css": {"report"},
    "reporting/chromium.py": set(),
    "config/plan.py": set(),
    "config/load.py": set(),
    "cli.py": set(),
    "check.py": set(),
}
"""Stages that must run again when a file is changed, as a reader of the code would say."""


def copy_code(code: Path, folder: Path) -> Path:
    """Without what running jobs compile there."""
    ignored = shutil.ignore_patterns("__pycache__")
    return shutil.copytree(code, folder, ignore=ignored, dirs_exist_ok=True)


@pytest.fixture(scope="module")
def mutable(code, tmp_path_factory) -> Path:
    """A copy of the code to edit."""
    folder = tmp_path_factory.mktemp("code")
    copy_code(code, folder)
    return folder


@pytest.fixture
def edit(mutable) -> Iterator:
    """Edit files of the package, for one test."""
    originals: dict[Path, bytes] = {}

    def change(file: Path | str, content: bytes | None = None) -> None:
        file = mutable / "fastpipe" / file
        originals.setdefault(file, file.read_bytes())
        file.write_bytes(changed_constant(file) if content is None else content)

    yield change
    for file, content in originals.items():
        file.write_bytes(content)


def changed_constant(file: Path) -> bytes:
    """The file's bytes with one constant changed."""
    if file.suffix == ".py":
        return file.read_bytes() + b"\n_CONSTANT = 17\n"
    return file.read_bytes() + b"\n\n"


def with_other_words(file: Path) -> bytes:
    """A module's bytes with a comment more, and every docstring and description changed."""
    lines = file.read_text().splitlines(keepends=True)
    for node in ast.walk(ast.parse("".join(lines))):
        if isinstance(node, ast.Expr) and isinstance(getattr(node.value, "value", None), str):
            line = lines[node.lineno - 1]
            lines[node.lineno - 1] = line.replace('"""', '"""Other words. ', 1)
    return ("# A comment.\n" + "".join(lines) + "\n# Another.\n").encode()


def package_files(package: Path) -> list[str]:
    files = (f for f in package.rglob("*") if f.is_file() and "__pycache__" not in f.parts)
    return sorted(str(file.relative_to(package)) for file in files)


def closures(package: Path) -> dict[str, set[str]]:
    """Files of a package → stages whose import closure holds them."""
    found: dict[str, set[str]] = {file: set() for file in package_files(package)}
    for stage in STAGES:
        for path in closure(f"fastpipe.stages.{stage}", package):
            found[str(path.relative_to(package))].add(stage)
    return found


def with_followers(stages: Iterable[str]) -> set[str]:
    return set().union(*(FOLLOWERS[stage] for stage in stages))


def stale_stages(package: Path, config: Config, monkeypatch) -> set[str]:
    """Stages with stale jobs, were the code that of `package`."""

    @functools.cache
    def stage_code(stage: str) -> str:
        return fingerprint(f"fastpipe.stages.{stage}", package)

    monkeypatch.setattr(plan_module, "stage_code", stage_code)
    jobs = Plan(config).jobs("tiny")
    found = audit(jobs, digests=False)
    return {job.stage for job in jobs if found.state(job) is State.STALE}


def test_every_file_makes_the_stages_that_use_it_stale(built, mutable, edit, monkeypatch):
    monkeypatch.chdir(built.folder)
    package = mutable / "fastpipe"
    config = load(configuration_files(mutable, []))
    config = dataclasses.replace(config, studies={"tiny": config.studies["tiny"]})
    users = closures(package)
    assert len(users) > 100
    assert stale_stages(package, config, monkeypatch) == set()
    for file, stages in users.items():
        before = (package / file).read_bytes()
        edit(file)
        assert stale_stages(package, config, monkeypatch) == with_followers(stages), file
        edit(file, before)


@pytest.mark.parametrize("file", KNOWN)
def test_known_files_belong_to_their_stages(mutable, file):
    assert with_followers(closures(mutable / "fastpipe")[file]) == KNOWN[file]


def test_stages_load_no_module_outside_their_closure(built, loaded):
    package = built.code / "fastpipe"
    entrance = {"fastpipe", "fastpipe.__main__", "fastpipe.warm", "fastpipe.cli"}
    entrance |= {"fastpipe.config", "fastpipe.config.names"}
    for stage in STAGES:
        names = set((loaded / stage).read_text().split()) - entrance
        files = {Path(*name.split(".")[1:]) for name in names}
        known = {
            path.relative_to(package).with_suffix("")
            for path in closure(f"fastpipe.stages.{stage}", package)
        }
        known |= {Path(name).with_suffix("") for name in HOUSEKEEPING}
        modules = {file for file in files if not (package / file).is_dir()}
        assert modules and modules <= known, (stage, modules - known)


def test_files_of_several_kinds_rerun_their_stages(copy, mutable, edit):
    """By Snakemake itself, at seconds for each; the test above goes through all."""
    site = copy(code=mutable)
    everything = site_jobs(site)
    groups = {frozenset(stages): file for file, stages in closures(mutable / "fastpipe").items()}
    assert len(groups) > 10
    by_size = sorted(groups.items(), key=lambda group: (len(group[0]), sorted(group[0])))
    for stages, file in by_size[:: len(by_size) // 4]:
        before = (mutable / "fastpipe" / file).read_bytes()
        edit(file)
        wanted = {job for job in everything if job.split()[0] in with_followers(stages)}
        assert site.plan() == wanted, file
        edit(file, before)


def site_jobs(site) -> set[str]:
    """All jobs of a built site."""
    return set(site._timings())


def test_words_change_nothing(copy, mutable, edit):
    site = copy(code=mutable)
    for file in package_files(mutable / "fastpipe"):
        if file.endswith(".py"):
            edit(file, with_other_words(mutable / "fastpipe" / file))
    assert site.plan() == set()


@pytest.mark.fault(9)
def test_a_fresh_checkout_changes_nothing(copy, mutable):
    site = copy(code=mutable)
    for file in mutable.rglob("*"):
        os.utime(file)
    assert site.plan() == set()


def test_another_way_to_call_a_stage_changes_nothing(copy, code, tmp_path):
    """The code that computes is in the identities; how a rule calls it is not. The file is asked
    for by its name, as Snakemake sees no job of a study that is current."""
    other = copy_code(code, tmp_path / "code")
    rules = other / "workflow" / "rules" / "similarity.smk"
    text = rules.read_text()
    rules.write_text(text.replace('"fastpipe ', '"exec fastpipe '))
    assert rules.read_text() != text
    file = "results/similarity/net@1/pictures/similarity.json"
    assert copy(code=other).plan("--", file) == set()


def test_what_is_fingerprinted_is_what_runs(copy, mutable, edit):
    """The code beside the Snakefile, whatever is installed."""
    site = copy(code=mutable)
    emd = mutable / "fastpipe" / "similarity" / "emd.py"
    edit("similarity/emd.py", emd.read_bytes() + b"\nprint('from', __file__)\n")
    assert site.run() == {"similarity similarity/net@1/pictures"} | site.summary()
    log = site.path("logs/similarity/net@1/pictures/similarity.log").read_text()
    assert f"from {emd}" in log
    assert site.plan() == set()
