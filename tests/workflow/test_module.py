"""The workflow as a part of a user's own: their Snakefile, their configuration."""

import dataclasses

import pytest

pytestmark = pytest.mark.workflow

OWN = """
module fastpipe:
    snakefile: {snakefile!r}

use rule * from fastpipe{names}

rule mine:
    input: "results/studies/tiny/claims.csv"
    output: "mine.csv"
    shell: "cp {{input:q}} {{output:q}}"
"""


@pytest.fixture(params=["", " as fastpipe_*"], ids=["own names", "prefix"])
def own(request, site):
    """A folder whose Snakefile has the workflow as a module; and the prefix of its rules."""
    snakefile = str(site.code / "Snakefile")
    (site.folder / "Snakefile").write_text(OWN.format(snakefile=snakefile, names=request.param))
    prefix = request.param.removeprefix(" as ").removesuffix("*")
    return dataclasses.replace(site, snakefile=site.folder / "Snakefile"), prefix


def profile(site) -> tuple[str, ...]:
    return "--workflow-profile", str(site.code / "profiles" / "default")


def test_as_a_module_there_is_nothing_to_do_again(own):
    site, prefix = own
    output = site.snakemake(*profile(site), f"{prefix}tiny").stdout
    assert "Nothing to be done" in output, output
    rules = site.snakemake("--list-rules").stdout.split()
    assert {"mine", f"{prefix}demo", f"{prefix}finetune"} <= set(rules)


def test_as_a_module_a_change_runs_what_depends_on_it(own):
    site, _ = own
    site.configure({"recipes": {"quick": {"beta": 0.02}}})
    wanted = site.jobs("quick") | site.summary()
    assert site.plan(*profile(site), "mine") == wanted
    site.configure({"settings": {"gamma": 0.02}})
    wanted = {"similarity similarity/net@1/pictures"} | site.summary()
    assert site.run(*profile(site), "mine") == wanted
    own_copy = (site.folder / "mine.csv").read_bytes()
    assert own_copy == site.path("studies/tiny/claims.csv").read_bytes()
    site.configure({"datasets": {"own": {"test_per_class": 5}}, "settings": {"gamma": 0.02}})
    assert "prepare datasets/own" in site.plan(*profile(site), "mine")
