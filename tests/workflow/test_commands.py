"""Snakemake's own options and the user's mistakes, before anything runs."""

import pytest

from fastpipe.config.load import load, yaml_files
from fastpipe.config.plan import Plan

pytestmark = pytest.mark.workflow


def test_all_shipped_studies_can_be_planned(built, tmp_path):
    plan = Plan(load(yaml_files(built.code / "config")))
    # Snakemake takes minutes for the largest ones, whose parts are the same kinds of jobs.
    studies = [study for study in plan.targets if len(plan.jobs(study)) < 500]
    announced = built.plan("--directory", str(tmp_path / "leer"), *studies, cwd=tmp_path)
    assert {"demo", "fast-paper", "hp-momentum", "hp-batchnorm-paper"} <= set(studies)
    assert announced == {
        f"{job.stage} {job.folder.relative_to('results')}"
        for study in studies
        for job in plan.jobs(study)
    }


def test_another_working_directory_by_option(site, tmp_path):
    site.configure({"settings": {"gamma": 0.02}})
    jobs = site.plan("--directory", str(site.folder), cwd=tmp_path)
    assert jobs == {"similarity similarity/net@1/pictures"} | site.summary()
    assert list(tmp_path.iterdir()) == [site.folder]


def test_from_the_folder_of_the_code(site):
    assert site.plan("--directory", str(site.folder), cwd=site.code) == set()


def test_a_study_is_a_target(site):
    assert "Nothing to be done" in site.snakemake("tiny").stdout


def test_config_on_the_command_line_is_refused(site):
    output = site.fail("--config", "gamma=1")
    assert "--config is not supported" in output
    assert "use --configfile FILE" in output


def test_all_mistakes_of_a_configuration_at_once(site):
    recipes = {"quick": {"betta": 1, "alpha": "fast"}, "plain": {"batch_size": 21}}
    arm = {"recipe": "quik", "snapshots": ["net@0.7"], "targets": ["pictures"]}
    site.configure({"recipes": recipes})
    output = site.fail()
    assert "study.yaml" in output
    for part in ("betta", "beta", "alpha", "'fast'"):
        assert part in output
    site.configure({"recipes": {"plain": {"batch_size": 21}}})
    site.configure({"studies": {"tiny": {"arms": {"new": arm}}}}, "zzz.yaml")
    output = site.fail()
    for part in ("quik", "quick", "net@0.7", "net@0.5", "21"):
        assert part in output


def test_configuration_that_is_no_yaml(site):
    (site.folder / "config" / "kaputt.yaml").write_text("recipes: {fast: [}")
    assert "kaputt.yaml" in site.fail()


def test_snakemakes_report(site):
    report = site.folder / "bericht.html"
    site.run("--report", str(report))
    text = report.read_text()
    described = "fastpipe compares ways to fine-tune"
    for part in ("finetune", "studies/tiny/report.html", "the whole report", described):
        assert part in text, part
