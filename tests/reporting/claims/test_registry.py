"""All claims are found, say what they must, and choose arms by recipe fields that exist."""

import re

import pytest

from fastpipe.config.checks import CLAIMS as CLAIM_FILES
from fastpipe.config.recipe import Recipe
from fastpipe.errors import UserError
from fastpipe.reporting.claims.registry import CLAIMS
from fastpipe.reporting.claims.verdicts import chosen_claims
from fastpipe.reporting.recipes import _FIELDS, equal_but


def test_all_of_the_first_paper_in_order():
    assert list(CLAIMS)[:16] == [f"A{number}" for number in range(1, 17)]
    assert {path.stem.upper() for path in CLAIM_FILES.glob("[a-z][0-9]*.py")} == set(CLAIMS)


@pytest.mark.parametrize("id", CLAIMS)
def test_a_claim_is_complete(id):
    claim = CLAIMS[id]
    assert all([claim.paper, claim.section, claim.title, claim.says, claim.measured])
    assert claim.parts
    assert claim.exhibits
    assert all(re.search(r"\bstudy\b", part.query) for part in claim.parts)


def test_unknown_claim_is_refused_by_name():
    with pytest.raises(UserError, match=r"unknown claim A77, B0 .* Known claims: A1, A2, .*A16"):
        chosen_claims(["A7", "A77", "B0"])


def test_equal_but_knows_every_field_of_a_recipe():
    assert list(_FIELDS) == list(Recipe.model_fields)
    assert "alpha" not in equal_but("alpha").replace("head_alpha", "")
    with pytest.raises(ValueError, match="recipes have no field colour"):
        equal_but("colour")


def test_only_studies_that_list_a_claim_count(lab, about):
    for study, better in (("one", 0.9), ("two", 0.1)):
        for role, auc in (("fast", better), ("baseline", 0.5)):
            lab.arm(f"{study} {role}", role=role, study=study, runs={"adp_auc": about(auc)})
    lab.insert("findings", study="one", claim="A7", text="Why so.")
    a7, a10 = lab.judge("A7", "A10", listed={"one": ["A7"], "two": ["A10"]})
    assert (a7.verdict, a10.verdict) == ("supported", "not run")
    assert [setting.study for setting in a7.settings] == ["one"]
    assert a7.findings == {"one": "Why so."}


def test_two_studies_are_two_settings(lab, about):
    for study, better in (("one", 0.9), ("two", 0.1)):
        for role, auc in (("fast", better), ("baseline", 0.5)):
            lab.arm(f"{study} {role}", role=role, study=study, runs={"adp_auc": about(auc)})
    (found,) = lab.judge("A7")
    assert {s.study: one.verdict for s, one in found.settings.items()} == {
        "one": "supported", "two": "contradicted"
    }  # fmt: skip
    assert found.verdict == "contradicted"
    setting, contrast = found.decisive
    assert (setting.study, contrast.name) == ("two", "two fast − two baseline")
