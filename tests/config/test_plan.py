# ruff: noqa: E501 (tables: one case a line)
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fastpipe.config import plan as plan_module
from fastpipe.config.config import Config
from fastpipe.config.load import load
from fastpipe.config.names import STAGES, Pack, Snapshot
from fastpipe.config.plan import Job, Plan

Make = Callable[..., Config]
Identities = dict[Path, str]

TWO = """
studies:
  demo:
    arms:
      second: {recipe: fast, snapshots: [net@all], targets: [near, own], seeds: 7}
"""


def identities(config: Config) -> Identities:
    """Identity of every record that any study needs."""
    plan = Plan(config)
    jobs = [job for target in plan.targets for job in plan.jobs(target)]
    return {record: identity for job in jobs for record, identity in job.records.items()}


def changed(before: Identities, after: Identities) -> set[str]:
    """Stages (and splits) with a record that was there before and has another identity now."""
    return {path.stem for path in before.keys() & after.keys() if before[path] != after[path]}


def missing(before: Identities, after: Identities) -> set[Path]:
    return before.keys() - after.keys()


COLLECTED = {"collect", "report"}
RUNS = {"finetune", "deploy", "forgetting"}
SEEN = {"features", "similarity", "scores"}
FROM_SOURCE = {"pretrain", *SEEN, *RUNS, *COLLECTED}
SPLITS = {"prepare-train", "prepare-val", "prepare-test"}

CHANGES = [
    # a dataset fine-tuned on
    ("datasets: {near: {test_per_class: 9}}", {"prepare-test", "deploy", *COLLECTED}),
    ("datasets: {near: {train_per_class: 9}}", {*SPLITS, *SEEN, *RUNS, *COLLECTED}),
    ("datasets: {near: {seed: 1}}", {*SPLITS, *SEEN, *RUNS, *COLLECTED}),
    # the source's own dataset: its test split serves only forgetting
    ("datasets: {own: {test_per_class: 9}}", {"prepare-test", "forgetting", *COLLECTED}),
    ("datasets: {own: {validation: 0.1}}", {*SPLITS, *FROM_SOURCE}),
    # a source
    ("sources: {net: {lr: 0.01}}", FROM_SOURCE),
    ("sources: {net: {backbone: {widths: [4, 8]}}}", FROM_SOURCE),
    # recipes: only those of a study matter
    ("recipes: {plain: {beta: 0.02}}", {*RUNS, *COLLECTED}),
    ("recipes: {plain: {head_bias: true}}", {*RUNS, *COLLECTED}),
    ("recipes: {fast: {beta: 0.02}}", set()),
    ("recipes: {new: {beta: 0.02}}", set()),
    # settings
    ("settings: {gamma: 0.02}", {"similarity", *COLLECTED}),
    ("settings: {min_count: 3}", {"similarity", *COLLECTED}),
    ("settings: {score_images_per_class: 7}", {*SEEN, *COLLECTED}),
    ("settings: {similarity_images_per_class: 7}", {*SEEN, *COLLECTED}),
    ("studies: {demo: {extractors: [net@0]}}", COLLECTED),
    ("settings: {compute: {threads: 2}}", FROM_SOURCE),
    ("settings: {compute: {device: cpu}}", FROM_SOURCE),
    ("settings: {downloads: elsewhere}", set()),
    # a study's own words and selection
    ("studies: {demo: {title: Another}}", COLLECTED),
    ("studies: {demo: {claims: [A7]}}", COLLECTED),
    ("studies: {demo: {arms: {first: {role: baseline}}}}", COLLECTED),
    ("studies: {demo: {seeds: 2}}", COLLECTED),
]  # fmt: skip


@pytest.mark.parametrize(("text", "stages"), CHANGES)
def test_a_change_reaches_what_depends_on_it_and_nothing_else(
    config: Make, text: str, stages: set[str]
) -> None:
    before, after = identities(config()), identities(config(text))
    assert changed(before, after) == stages
    assert not missing(before, after)


def test_precision_does_not_concern_class_means_beyond_the_snapshot(config: Make) -> None:
    fast = Plan(config("settings: {compute: {precision: bf16}}"))
    spec = json.loads(fast.features(Snapshot("net", 2.0), "near").spec)
    assert spec["compute"]["precision"] == "fp32"


def test_swapping_alpha_and_beta_is_noticed(config: Make) -> None:
    before = identities(config("recipes: {plain: {alpha: 0.1, beta: 0.2}}"))
    after = identities(config("recipes: {plain: {alpha: 0.2, beta: 0.1}}"))
    assert changed(before, after) == {*RUNS, *COLLECTED}


ADDITIONS = [
    ("studies: {demo: {seeds: 12}}", COLLECTED),
    ("studies: {demo: {arms: {more: {recipe: fast, snapshots: [net@0], targets: [own]}}}}", COLLECTED),
    ("studies: {demo: {arms: {first: {targets: [near, own]}}}}", COLLECTED),
    ("studies: {demo: {arms: {first: {snapshots: [net@all]}}}}", COLLECTED),
    ("studies: {demo: {scales: {demo: {}, big: {seeds: 20}}}}", set()),
    ("studies: {other: {title: T, arms: {x: {recipe: fast, snapshots: [net@all], targets: [own]}}}}", set()),
    ("studies: {demo: {includes: [other]}, other: {title: T, arms: {x: {recipe: fast, snapshots: [net@0], targets: [own]}}}}", COLLECTED),
    ("sources: {net: {snapshots: [0, 0.25, 0.5, 2]}}", COLLECTED),
    ("sources: {net: {snapshots: [0, 0.5, 1.5, 2]}}", COLLECTED),
]  # fmt: skip


@pytest.mark.parametrize(("text", "stages"), ADDITIONS)
def test_what_is_added_leaves_every_run_that_exists(
    config: Make, text: str, stages: set[str]
) -> None:
    before, after = identities(config()), identities(config(text))
    assert changed(before, after) == stages
    assert not missing(before, after)
    assert len(after) >= len(before)


@pytest.mark.parametrize(("schedule", "stages"), [("constant", set()), ("cosine", FROM_SOURCE)])
def test_a_later_snapshot_changes_the_others_only_if_the_schedule_spans_the_epochs(
    config: Make, schedule: str, stages: set[str]
) -> None:
    base = f"sources: {{net: {{schedule: {schedule}}}}}\n"
    arm = "studies: {demo: {arms: {first: {snapshots: [net@2]}}}}"
    before = identities(config(base + arm))
    longer = base.replace("schedule", "epochs: 4, snapshots: [0, 0.5, 2, 4], schedule", 1)
    after = identities(config(longer + arm))
    assert changed(before, after) == stages


def test_an_identity_depends_on_the_code_of_all_stages_before(
    config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = identities(config())
    real = plan_module.stage_code
    expected = {
        "prepare": {*SPLITS, *FROM_SOURCE},
        "pretrain": FROM_SOURCE,
        "features": {*SEEN, *COLLECTED},
        "similarity": {"similarity", *COLLECTED},
        "scores": {"scores", *COLLECTED},
        "finetune": {*RUNS, *COLLECTED},
        "deploy": {"deploy", *COLLECTED},
        "forgetting": {"forgetting", *COLLECTED},
        "collect": COLLECTED,
        "report": {"report"},
    }
    for edited in STAGES:
        monkeypatch.setattr(
            plan_module, "stage_code", lambda stage, e=edited: real(stage) + "!" * (stage == e)
        )
        assert changed(before, identities(config())) == expected[edited], edited


def test_a_source_that_starts_from_another_depends_on_it(config: Make) -> None:
    text = """
sources:
  second: {dataset: own, snapshots: [1], start: net@0.5}
studies:
  demo:
    arms:
      more: {recipe: plain, snapshots: [second@1], targets: [near]}
"""
    plan = Plan(config(text))
    assert list(map(str, plan.snapshots_for(Snapshot("second", 1.0)))) == [
        "net@0",
        "net@0.5",
        "second@0",
        "second@1",
    ]
    before = plan.pretrain(Snapshot("second", 1.0)).identity
    after = Plan(config(text, "sources: {net: {lr: 0.9}}")).pretrain(Snapshot("second", 1.0))
    assert before != after.identity


def test_a_snapshot_continues_from_the_one_before_and_does_not_name_it(config: Make) -> None:
    plan = Plan(config())
    assert [str(plan.predecessor(Snapshot("net", e))) for e in (0.5, 2.0)] == ["net@0", "net@0.5"]
    assert plan.predecessor(Snapshot("net", 0.0)) is None
    reads = [path.name for path in plan.pretrain(Snapshot("net", 2.0)).reads]
    assert reads == ["prepare-train.json", "prepare-val.json"]


def test_epoch_0_is_always_on_the_way(config: Make) -> None:
    plan = Plan(config("sources: {net: {snapshots: [2]}}"))
    assert list(map(str, plan.snapshots_for(Snapshot("net", 2.0)))) == ["net@0", "net@2"]


def test_fine_tuning_reads_no_test_split(config: Make) -> None:
    plan = Plan(config(TWO))
    for pack in plan.packs("demo"):
        reads = [path.as_posix() for path in plan.finetune(pack).reads]
        assert not any("test" in path for path in reads)
        assert f"results/datasets/{pack.target}/prepare-val.json" in reads
        assert any("prepare-test" in path.name for path in plan.deploy(pack).reads)


# --- packs --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seeds", "size", "blocks"),
    [
        (1, 5, [(0, 4)]),
        (5, 5, [(0, 4)]),
        (6, 5, [(0, 4), (5, 9)]),
        (3, 1, [(0, 0), (1, 1), (2, 2)]),
        (7, 3, [(0, 2), (3, 5), (6, 8)]),
    ],
)
def test_packs_are_whole_aligned_blocks(
    config: Make, seeds: int, size: int, blocks: list[tuple[int, int]]
) -> None:
    text = f"settings: {{pack_seeds: {size}}}\nstudies: {{demo: {{seeds: {seeds}}}}}"
    packs = Plan(config(text)).packs("demo")
    assert [(pack.first, pack.last) for pack in packs] == blocks


def test_a_pack_of_two_arms_or_two_studies_is_one_job(config: Make) -> None:
    again = (
        "{recipe: plain, snapshots: [net@2], targets: [near], seeds: 3, overrides: {alpha: 0.01}}"
    )
    text = f"studies: {{demo: {{arms: {{again: {again}}}}}, other: {{title: T, arms: {{x: {again}}}}}}}"
    plan = Plan(config(text))
    assert (
        plan.packs("demo")
        == plan.packs("other")
        == [Pack(Snapshot("net", 2.0), "near", "plain", 0, 4)]
    )
    shared = set(plan.parts("demo")) & set(plan.parts("other"))
    assert {job.stage for job in shared} == set(STAGES) - COLLECTED
    assert set(plan.parts("demo")) == set(plan.parts("other"))


def test_collect_asks_for_the_seeds_that_the_study_wants_and_no_more(config: Make) -> None:
    plan = Plan(config(TWO))
    packs = json.loads(plan.collect("demo").spec)["packs"]
    wanted = {(p["recipe"], tuple(p["seeds"])) for p in packs}
    assert wanted == {("plain", (0, 1, 2, 3, 4)), ("fast", (0, 1, 2, 3, 4)), ("fast", (5, 6))}


def test_collect_names_every_record_it_reads_with_its_identity(config: Make) -> None:
    plan = Plan(config(TWO))
    records = json.loads(plan.collect("demo").spec)["records"]
    expected = {r: i for job in plan.parts("demo") for r, i in job.records.items()}
    assert records == {str(record): identity for record, identity in expected.items()}


# --- jobs of a target ---------------------------------------------------------------------------


def test_inputs_come_before_their_users(config: Make) -> None:
    written: set[Path] = set()
    for job in Plan(config(TWO)).jobs("demo"):
        assert written.issuperset(job.reads), job
        written |= job.records.keys()


def test_no_two_jobs_write_one_record(config: Make) -> None:
    jobs = Plan(config(TWO)).jobs("demo")
    records = [record for job in jobs for record in job.records]
    assert len(records) == len(set(records))
    assert len(jobs) == len(set(jobs))


def test_the_jobs_of_a_study_and_of_those_it_includes(config: Make) -> None:
    arm = "{recipe: fast, snapshots: [net@0], targets: [own]}"
    plan = Plan(
        config(
            f"studies: {{other: {{title: T, arms: {{x: {arm}}}, scales: {{demo: {{}}, big: {{}}}}}},"
            f" third: {{title: T, arms: {{x: {arm}}}}},"
            " both: {title: T, includes: [other, third], scales: {demo: {}, big: {}}}}"
        )
    )

    def reports(target: str) -> list[str]:
        return [job.folder.name for job in plan.jobs(target) if job.stage == "report"]

    assert reports("demo") == ["demo"]
    assert reports("both") == ["both"]
    assert {runs.snapshot.source for runs in plan.runs("both")} == {"net"}
    specs = [json.loads(plan.collect(target).spec) for target in ("both", "both-big")]
    names = [[study["name"] for study in spec["studies"]] for spec in specs]
    assert names == [["both", "other", "third"], ["both-big", "other-big", "third"]]
    assert [arm["study"] for arm in specs[1]["arms"]] == ["other-big", "third"]
    included = [[study["includes"] for study in spec["studies"]] for spec in specs]
    assert included == [[["other", "third"], [], []], [["other-big", "third"], [], []]]


def test_the_graph_of_the_small_study(config: Make) -> None:
    jobs = Plan(config()).jobs("demo")
    counts = {stage: sum(job.stage == stage for job in jobs) for stage in STAGES}
    assert counts == {
        "prepare": 2,
        "pretrain": 3,
        "features": 2,
        "similarity": 1,
        "scores": 1,
        "finetune": 1,
        "deploy": 1,
        "forgetting": 1,
        "collect": 1,
        "report": 1,
    }


def extracted(plan: Plan, target: str = "demo") -> list[str]:
    """Folders of similarities, below that of all."""
    folders = [job.folder for job in plan.jobs(target) if job.stage == "similarity"]
    return [str(folder.relative_to("results/similarity")) for folder in folders]


def test_an_extractor_sees_the_sources_images_and_the_target(config: Make) -> None:
    other = "sources: {other: {dataset: near, snapshots: [1], epochs: 1}}"
    plan = Plan(config(other, "studies: {demo: {extractors: [net@last, other@1, net@0]}}"))
    own = "net@2/near"
    assert extracted(plan) == [own, f"{own}/other@1", f"{own}/net@0"]
    job = plan.similarity(Snapshot("net", 2.0), "near", Snapshot("other", 1.0))
    assert [str(path) for path in job.reads] == [
        f"results/features/other@1/{dataset}/features.json" for dataset in ("own", "near")
    ]
    behind = [str(job.folder) for job in plan.jobs("demo") if job.stage in ("pretrain", "features")]
    assert {"results/sources/other/epoch-1", "results/features/other@1/own"} <= set(behind)
    collected = json.loads(plan.collect("demo").spec)["similarities"]
    assert [pair["own"] for pair in collected] == [True, False, False]
    runs = {job.identity for job in plan.jobs("demo") if job.stage in RUNS}
    assert runs == {job.identity for job in Plan(config()).jobs("demo") if job.stage in RUNS}


def test_extractors_go_by_the_scales_names_and_are_each_studys_own(config: Make) -> None:
    text = """
sources: {other: {dataset: near, snapshots: [1], epochs: 1}}
studies:
  demo: {extractors: [net@last], includes: [second],
         scales: {demo: {}, big: {rename: {net: other}}}}
  second: {title: T, arms: {x: {recipe: fast, snapshots: [net@0], targets: [near]}}}
"""
    plan = Plan(config(text))
    assert extracted(plan, "demo-big") == ["other@1/near", "net@0/near"]
    assert extracted(plan) == ["net@2/near", "net@0/near"]


def test_specs_are_canonical_json_that_the_stages_can_read(config: Make) -> None:
    from fastpipe.stages.collect import CollectSpec
    from fastpipe.stages.deploy import DeploySpec
    from fastpipe.stages.features import FeaturesSpec
    from fastpipe.stages.finetune import FinetuneSpec
    from fastpipe.stages.forgetting import ForgettingSpec
    from fastpipe.stages.prepare import PrepareSpec
    from fastpipe.stages.pretrain import PretrainSpec
    from fastpipe.stages.report import ReportSpec
    from fastpipe.stages.scores import ScoresSpec
    from fastpipe.stages.similarity import SimilaritySpec

    models = (PrepareSpec, PretrainSpec, FeaturesSpec, SimilaritySpec, ScoresSpec)
    models += (FinetuneSpec, DeploySpec, ForgettingSpec, CollectSpec, ReportSpec)
    by_stage = dict(zip(STAGES, models, strict=True))
    for job in Plan(config(TWO)).jobs("demo"):
        by_stage[job.stage].model_validate_json(job.spec)
        spec = json.loads(job.spec)
        assert job.spec == json.dumps(spec, sort_keys=True, separators=(",", ":"))


def test_a_plan_is_the_same_every_time(config: Make) -> None:
    def jobs() -> list[Job]:
        return Plan(config(TWO)).jobs("demo")

    assert jobs() == jobs()


def test_an_identity_of_several_records_has_no_single_name(config: Make) -> None:
    plan = Plan(config())
    with pytest.raises(ValueError):
        _ = plan.prepare("near").identity
    assert plan.pretrain(Snapshot("net", 0.0)).record == Path(
        "results/sources/net/epoch-0/pretrain.json"
    )


# --- image folders ------------------------------------------------------------------------------


def test_a_changed_image_folder_is_prepared_again_and_a_changed_test_folder_retrains_nothing(
    config: Make, tmp_path: Path
) -> None:
    for split in ("train", "test"):
        for name in ("cats", "dogs"):
            (tmp_path / "images" / split / name).mkdir(parents=True)
            for image in ("0.png", "1.png"):
                (tmp_path / "images" / split / name / image).write_bytes(b"1")
    text = f"datasets: {{near: {{providers: [{{kind: folder, path: '{tmp_path}/images'}}]}}}}"
    before = identities(config(text))
    (tmp_path / "images" / "train" / "cats" / "1.png").touch()
    assert changed(before, identities(config(text))) == set()
    (tmp_path / "images" / "test" / "cats" / "2.png").write_bytes(b"2")
    with_test = identities(config(text))
    assert changed(before, with_test) == {"prepare-test", "deploy", *COLLECTED}
    (tmp_path / "images" / "train" / "cats" / "1.png").write_bytes(b"12")
    assert "finetune" in changed(with_test, identities(config(text)))


def released(tmp_path: Path, *more: str) -> Plan:
    """The demo from released weights: training keys of `net` are not given here."""
    base = """
datasets: {near: {providers: [{kind: sklearn, name: digits}], size: 32, channels: 3}}
sources: {net: {library: torchvision, weights: FILE, backbone: {name: resnet18}}}
recipes: {plain: {}}
studies: {demo: {title: T, arms: {first: {recipe: plain, snapshots: [net@last], targets: [near]}}}}
""".replace("FILE", str(tmp_path / "w.pth"))
    paths = [tmp_path / f"r{number}.yaml" for number in range(1 + len(more))]
    for path, text in zip(paths, [base, *more], strict=True):
        path.write_text(text)
    return Plan(load(paths))


def test_a_source_without_images_is_neither_compared_nor_forgotten(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"12345")
    plan = released(tmp_path)
    assert {job.stage for job in plan.jobs("demo")} == set(STAGES) - {
        "similarity",
        "forgetting",
    }
    assert plan.datasets("demo") == ["near"]
    (pack,) = json.loads(plan.collect("demo").spec)["packs"]
    assert pack["forgetting"] is False
    assert plan.pretrain(Snapshot("net", 0.0)).reads == ()


def test_with_images_it_is(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"12345")
    plan = released(tmp_path, "sources: {net: {dataset: near}}")
    assert {job.stage for job in plan.jobs("demo")} == set(STAGES)


def test_another_file_of_weights_is_another_snapshot(tmp_path: Path) -> None:
    def identity(*more: str) -> str:
        return released(tmp_path, *more).pretrain(Snapshot("net", 0.0)).identity

    (tmp_path / "w.pth").write_bytes(b"12345")
    (tmp_path / "v.pth").write_bytes(b"12345")
    before = identity()
    assert identity() == before
    others = {
        identity(f"sources: {{net: {{weights: {tmp_path}/v.pth}}}}"),
        identity(f"sources: {{net: {{sha256: '{'a' * 64}'}}}}"),
        identity("sources: {net: {mean: [0.5, 0.5, 0.5]}}"),
        identity("sources: {net: {weights: IMAGENET1K_V1}}"),
    }
    (tmp_path / "w.pth").write_bytes(b"54321")  # as long as before
    assert len({before, *others, identity()}) == 6


def test_released_weights_have_code_of_their_own(tmp_path: Path, monkeypatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(plan_module, "stage_code", lambda stage: asked.append(stage) or stage)
    (tmp_path / "w.pth").write_bytes(b"12345")
    released(tmp_path).pretrain(Snapshot("net", 0.0))
    assert asked == ["released"]
