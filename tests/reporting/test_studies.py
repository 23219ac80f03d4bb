"""What the page says about a study's arms."""

from fastpipe.reporting.page.studies import study_sections


def about(tables, study: str) -> dict[str, str]:
    (section,) = [one for one in study_sections(tables) if one["name"] == study]
    return {arm["label"]: arm["about"].replace("\u00a0", " ") for arm in section["arms"]}


def test_fields_in_which_arms_differ_are_told(altered):
    tables = altered(
        "UPDATE recipes SET momentum = 0.9, weight_decay = 0, flip = false, bn_momentum = NULL, "
        "milestones = [0.5, 0.75], batch_size = 100",
        "UPDATE recipes SET momentum = 0, weight_decay = 0.0005, flip = true, bn_momentum = 0.95, "
        "milestones = [0.5], steps = 77 WHERE recipe = 'warmup'",
        "UPDATE arms SET arm = 'Warm-up+momentum=0' WHERE arm = 'Warm-up'",
    )
    told = about(tables, "demo")
    assert told["Warm-up+momentum=0"].endswith(
        "weight decay 0.0005, bn momentum 0.95, milestones 0.5, steps 77, flip true."
    )
    for arm in ("FAST", "Feature extraction"):
        assert ", momentum 0.9, weight decay 0, bn momentum by default, " in told[arm]
        assert ", milestones 0.5, 0.75, " in told[arm] and told[arm].endswith(", flip false.")
        assert "batch size" not in told[arm]


def test_fields_that_all_arms_share_are_not_told(tables):
    assert all(text.endswith(" head.") for text in about(tables, "demo").values())


def test_values_of_an_arm_that_differ_among_targets_are_all_told(altered):
    tables = altered(
        "INSERT INTO recipes SELECT * REPLACE ('longer' AS recipe, 999 AS steps) FROM recipes "
        "WHERE recipe = 'warmup'",
        "INSERT INTO arms SELECT * REPLACE ('longer' AS recipe) FROM arms WHERE recipe = 'warmup'",
        "INSERT INTO runs SELECT * REPLACE ('longer' AS recipe) FROM runs WHERE recipe = 'warmup'",
    )
    assert " or 999." in about(tables, "demo")["Warm-up"]


def test_the_optimiser_is_told_where_it_differs(altered):
    tables = altered("UPDATE recipes SET optimiser = 'adam' WHERE recipe = 'warmup'")
    told = about(tables, "demo")
    assert told["Warm-up"].endswith("head, adam.") and told["FAST"].endswith("head, sgd.")


def test_a_sweep_with_more_arms_than_colours_is_told_as_one(altered):
    swept = [(rate, momentum) for rate in (0.1, 0.2, 0.5) for momentum in (0.9, 0, 0.5)]
    tables = altered(
        *(
            statement
            for rate, momentum in swept
            for name in [f"grid+alpha={rate}+beta={rate}+momentum={momentum}"]
            for statement in (
                f"INSERT INTO recipes SELECT * REPLACE ('{name}' AS recipe, {rate} AS alpha, "
                f"{rate} AS beta, {momentum} AS momentum) FROM recipes WHERE recipe = 'warmup'",
                f"INSERT INTO arms SELECT * REPLACE ('{name}' AS recipe, '{name}' AS arm, "
                "position + 9 AS position) FROM arms WHERE recipe = 'warmup'",
                f"INSERT INTO runs SELECT * REPLACE ('{name}' AS recipe) FROM runs "
                "WHERE recipe = 'warmup'",
            )
        ),
        "UPDATE arms SET arm = 'mine+yours' WHERE recipe = 'warmup'",
    )
    told = about(tables, "demo")
    assert "mine+yours" in told and not any(label.startswith("grid+") for label in told)
    swept = "9 settings: α = β 0.1, 0.2, 0.5; momentum 0.9, 0, 0.5"
    assert told["grid"] == f"{swept}; all with kaiming-fan-in head."
    assert told["FAST"].startswith("α = 0.1, β = 0.01, ")
