"""SQL that exhibits share: runs with the fields of their recipe, and bands over seeds.

Arms are chosen by what their recipes say and by role, never by label, so that a study may call
them as it likes.
"""

__all__ = ["CHOSEN_KEY", "FAST_AND_BASELINES", "NEAR_ZERO", "bands", "chosen", "norms"]

_DESCRIBED = """described AS (
    SELECT comparison.*, recipes.* EXCLUDE (recipe, steps),
        snapshots.skips, snapshots.dataset AS source_dataset
    FROM comparison
    JOIN recipes USING (recipe)
    LEFT JOIN snapshots
        ON (snapshots.source, snapshots.epoch) = (setting_source, setting_epoch)
)"""

NEAR_ZERO = "(head_init = 'zeros' OR (head_init = 'normal' AND head_sigma <= 1e-6))"
"""A head that starts at next to nothing."""

FAST_AND_BASELINES = """
    role IN ('fast', 'baseline') AND warmup = 'none'
    AND optimiser = 'sgd' AND momentum_form = 'torch'
"""
"""What is compared at convergence."""

CHOSEN_KEY = (
    "study, setting_source, setting_epoch, target, position, arm, role, skips, "
    "alpha, beta, head_init, head_sigma, warmup, optimiser, momentum_form"
)


def chosen(where: str) -> str:
    """`chosen`: the runs of the arms that `where` selects."""
    return f"{_DESCRIBED},\nchosen AS (SELECT * FROM described WHERE {where})"


def bands(table: str, value: str = "top1", *, measure: str = "", where: str = "true") -> str:
    """Mean ± half width over seeds of a column of `table` at each step, for the chosen runs."""
    name = f"'{measure}' AS measure, " if measure else ""
    return f"""
        SELECT {CHOSEN_KEY}, {name}observed.step,
            count(observed.{value}) AS seeds, avg(observed.{value}) AS mean,
            half_width95(observed.{value}) AS half_width
        FROM chosen JOIN {table} AS observed USING (source, epoch, target, recipe, seed)
        WHERE isfinite(observed.{value}) AND {where}
        GROUP BY ALL
    """


def norms(measure: str = "") -> str:
    """Bands of ‖W‖ at each step, late ones thinned to about 20 per factor of e."""
    thinned = """(
        observed.step < 2
        OR floor(20 * ln(observed.step)) > floor(20 * ln(observed.step - 1))
        OR observed.step = chosen.steps)"""
    return bands("steps", "head_norm", measure=measure, where=thinned)
