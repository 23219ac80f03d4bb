import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from fastpipe.cli import HOME, app, main
from fastpipe.config.names import STAGES, WORK
from fastpipe.errors import UserError

HEAVY = (
    *("torch", "torchvision", "numpy", "scipy", "sklearn", "ot", "pyarrow", "safetensors"),
    *("duckdb", "altair", "vl_convert", "pandas", "jinja2", "snakemake", "matplotlib", "PIL"),
)
COMMANDS = {command.name or command.callback.__name__ for command in app.registered_commands}

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command in an empty folder: (exit status, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["fastpipe", *arguments])
        with pytest.raises(SystemExit) as exited:
            main()
            sys.exit(0)
        out, err = capsys.readouterr()
        return int(exited.value.code or 0), out, err

    return call


# --- what is imported ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [["check"], ["status"], ["finetune", "--help"], ["advise", "--help"], ["schema", "."]],
)
def test_nothing_heavy_is_imported_before_a_stage_runs(
    tmp_path: Path, arguments: list[str]
) -> None:
    script = (
        "import atexit, sys\n"
        f"sys.argv = ['fastpipe', *{arguments!r}]\n"
        f"atexit.register(lambda: print('HEAVY', sorted(set(sys.modules) & set({HEAVY!r}))))\n"
        "from fastpipe.cli import main\n"
        "main()\n"
    )
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}  # `check` asks torch for GPUs
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "HEAVY []"


def test_the_snakefiles_modules_import_nothing_heavy(tmp_path: Path) -> None:
    script = f"import sys, fastpipe.workflow; print(sorted(set(sys.modules) & set({HEAVY!r})))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


# --- check --------------------------------------------------------------------------------------


def test_check_prints_the_plan_of_the_shipped_studies(run: Run) -> None:
    status, out, err = run("check", "demo")
    assert (status, err) == (0, "")
    assert "Runs of demo" in out
    assert "minutes on " in out


def test_status_tells_of_the_default_study_and_of_any(run: Run) -> None:
    status, out, err = run("status")
    assert (status, err) == (0, "")
    assert out.startswith("Nothing is running.\n") and "\nStudy demo" in out
    assert "0 of 82 jobs are done." in out
    assert json.loads(run("status", "hp-grid", "--json")[1])["study"]["study"] == "hp-grid"


def test_an_unknown_study_is_one_line_without_a_traceback(run: Run) -> None:
    assert run("check", "dmeo") == (
        1,
        "",
        "error: there is no study 'dmeo'; did you mean 'demo'?\n",
    )


def test_a_missing_configuration_file_is_named(run: Run) -> None:
    assert run("check", "--configfile", "none.yaml") == (
        1,
        "",
        "error: The configuration has 1 problem:\n"
        "  none.yaml: cannot be read: No such file or directory\n",
    )


def test_a_configuration_that_is_a_list_is_refused(run: Run) -> None:
    Path("list.yaml").write_text("- recipes\n")
    status, _, err = run("check", "--configfile", "list.yaml")
    assert status == 1
    assert err.splitlines()[1].startswith(
        "  list.yaml:1:1: must be a mapping with sections as keys"
    )


def test_an_empty_configuration_file_changes_nothing(run: Run) -> None:
    Path("empty.yaml").touch()
    assert run("check", "demo", "--configfile", "empty.yaml") == run("check", "demo")


def test_several_files_are_merged_after_those_of_the_folder(run: Run) -> None:
    Path("config").mkdir()
    Path("config/mine.yaml").write_text("recipes: {fast: {steps: 2468}}")
    assert "  2,468  " in run("check", "demo")[1]
    Path("a.yaml").write_text("recipes: {fast: {steps: 1357}}")
    Path("b.yaml").write_text("recipes: {fast: {steps: 1234}}")
    out = run("check", "demo", "--configfile", "a.yaml", "--configfile", "b.yaml")[1]
    assert "  1,234  " in out
    assert "  1,357  " not in out


def test_all_problems_of_several_files_are_told(run: Run) -> None:
    Path("config").mkdir()
    Path("config/mine.yaml").write_text("recipes: {fast: {step: 10}}")
    Path("b.yaml").write_text("recipes:\n  fast: {alpha: no}")
    status, out, err = run("check", "--configfile", "b.yaml")
    assert (status, out) == (1, "")
    assert err.splitlines() == [
        "error: The configuration has 2 problems:",
        "  b.yaml:2:10: recipes.fast.alpha: must be a number; found 'no'",
        "  config/mine.yaml:1:18: recipes.fast.step: unknown key; did you mean 'steps'?",
    ]


def test_the_folder_may_have_spaces_in_its_path(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "my own work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert run("check", "demo")[0] == 0


# --- schema and help ----------------------------------------------------------------------------


def test_schema_is_written_into_a_folder(run: Run) -> None:
    assert run("schema", "here")[1] == "here/schema.json\n"
    assert Path("here/schema.json").read_text() == (HOME / "config/schema.json").read_text()


def test_help_lists_every_command_with_its_sentence(run: Run) -> None:
    status, out, _ = run("--help")
    assert status == 0
    for command in COMMANDS:
        assert re.search(rf"^│ {command} +[^\s│]", out, re.MULTILINE), command


def test_a_command_that_is_not_there_is_refused(run: Run) -> None:
    status, _, err = run("finetoon")
    assert status == 2
    assert "No such command 'finetoon'" in err


# --- stages -------------------------------------------------------------------------------------


def test_every_stage_has_its_command() -> None:
    assert set(STAGES) <= COMMANDS


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """Stage functions replaced by ones that note how they are called."""
    noted: list[tuple] = []
    for stage in STAGES:
        spec = SimpleNamespace(model_validate_json=json.loads)
        fake = SimpleNamespace(
            **{
                stage: lambda *args, s=stage, **kwargs: noted.append((s, args, kwargs)),
                f"{stage.capitalize()}Spec": spec,
            }
        )
        monkeypatch.setitem(sys.modules, f"fastpipe.stages.{stage}", fake)
    return noted


ARGUMENTS = {
    "prepare": ({"downloads": "cache"}, {"downloads": "cache", "out": "o"}),
    "pretrain": (
        {"dataset": "d/prepare-train.json", "start": "s/pretrain.json"},
        {"dataset": "d", "start": "s", "out": "o"},
    ),
    "features": (
        {"snapshot": "s/pretrain.json", "dataset": "d/prepare-train.json"},
        {"snapshot": "s", "dataset": "d", "out": "o"},
    ),
    "similarity": (
        {"source": "a/features.json", "target": "b/features.json"},
        {"source_features": "a", "target_features": "b", "out": "o"},
    ),
    "scores": ({"features": "a/features.json"}, {"features": "a", "out": "o"}),
    "finetune": (
        {"snapshot": "s/pretrain.json", "dataset": "d/prepare-train.json"},
        {"snapshot": "s", "dataset": "d", "out": "o"},
    ),
    "deploy": (
        {"pack": "p/finetune.json", "snapshot": "s/x.json", "dataset": "d/prepare-test.json"},
        {"pack": "p", "snapshot": "s", "dataset": "d"},
    ),
    "forgetting": (
        {"pack": "p/finetune.json", "snapshot": "s/x.json", "dataset": "d/prepare-test.json"},
        {"pack": "p", "snapshot": "s", "dataset": "d"},
    ),
    "collect": ({}, {"out": "o"}),
    "report": ({"database": "b/collect.json"}, {"database": "b", "out": "o"}),
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_command_hands_folders_spec_and_identity_to_its_stage(
    run: Run, calls: list[tuple], stage: str
) -> None:
    options, folders = ARGUMENTS[stage]
    names = ["prepare-train", "prepare-test"] if stage == "prepare" else [stage]
    identity = json.dumps({f"{name}.json": f"id of {name}" for name in names})
    given = [f"--{name}={value}" for name, value in options.items()]
    status, _, err = run(
        stage, '--spec={"a":1}', f"--identity={identity}", "--out=o/x.json", *given
    )
    assert (status, err) == (0, "")
    expected = {name: Path(folder) for name, folder in folders.items()}
    expected["identity"] = (
        {"train": "id of prepare-train", "test": "id of prepare-test"}
        if stage == "prepare"
        else f"id of {stage}"
    )
    assert calls == [(stage, ({"a": 1},), expected | {"work": WORK})]


def test_the_first_snapshot_has_no_start(run: Run, calls: list[tuple]) -> None:
    common = ("--spec={}", '--identity={"pretrain.json":"x"}', "--out=o/x", "--dataset=d/x")
    for start in ([], ["--start="]):
        run("pretrain", *common, *start)
    assert [call[2]["start"] for call in calls] == [None, None]


def test_a_long_spec_may_come_through_standard_input(
    run: Run, calls: list[tuple], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"a": 2}'))
    run("collect", "--spec=-", '--identity={"collect.json":"x"}', "--out=o/x.json")
    assert calls[0][1] == ({"a": 2},)


def test_a_users_mistake_in_a_stage_is_told_without_a_traceback(
    run: Run, calls: list[tuple], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise UserError("x.png is damaged.\nReplace it.")

    monkeypatch.setattr(sys.modules["fastpipe.stages.collect"], "collect", refuse)
    result = run("collect", "--spec={}", '--identity={"collect.json":"x"}', "--out=o/x.json")
    assert result == (1, "", "error: x.png is damaged.\nReplace it.\n")
