"""SQL for exhibits that look at one arm alone: the one that validation prefers."""

__all__ = ["best_arm"]


def best_arm() -> str:
    """`best_runs`: the runs of the arm with the best mean validation accuracy, and their `seeds`.

    One arm for each study, source and target; test images have no say in which. The first arm of
    the study on ties.
    """
    return """means AS (
        SELECT study, setting_source, target, position, avg(val_top1) AS val_top1,
            count(*) AS seeds
        FROM comparison GROUP BY ALL
    ),
    best AS (
        SELECT study, setting_source, target, position, seeds
        FROM means
        QUALIFY row_number() OVER (
            PARTITION BY study, setting_source, target
            ORDER BY val_top1 DESC NULLS LAST, position) = 1
    ),
    best_runs AS (
        SELECT comparison.*, seeds
        FROM comparison JOIN best USING (study, setting_source, target, position)
    )"""
