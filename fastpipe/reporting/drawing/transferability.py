"""Scores of transferability beside the accuracy that fine-tuning reaches."""

from fastpipe.reporting.grids import OWN_GRID, PLACE, best

__all__ = ["FEWEST_TARGETS", "SCORES", "scored"]

FEWEST_TARGETS = 4
"""With fewer, an order says nothing."""

SCORES = {
    "similarity": "Domain similarity",
    "logme": "LogME",
    "leep": "LEEP",
    "nce": "NCE",
    "h-score": "H-score",
    "regularised-h-score": "H-score, regularised",
    "transrate": "TransRate",
    "knn": "k-NN probe",
    "ridge": "Ridge probe",
}
"""Scores in the order of the report, and what it calls them."""


def scored() -> str:
    """SQL: a row for each study, source, score and target of a source with enough targets.

    `accuracy` is the mean final test accuracy of the recipe with the best mean accuracy on the
    validation split (test images choose nothing); `value` the score at the source's last snapshot.
    """
    order = ", ".join(f"'{score}'" for score in SCORES)
    return f"""
        WITH {OWN_GRID},
        {best("chosen", among="tried", where="NOT scratch")},
        achieved AS (
            SELECT study, setting_source, epoch, target, recipe, count(*) AS seeds,
                avg(final_top1) AS accuracy
            FROM tried SEMI JOIN chosen USING ({PLACE}, recipe)
            GROUP BY ALL
            HAVING isfinite(accuracy)
        ),
        told AS (
            SELECT source, epoch, target, score, value, seconds FROM scores
            UNION ALL BY NAME
            SELECT source, epoch, target, 'similarity' AS score, similarity AS value
            FROM similarity
        ),
        last AS (
            SELECT study, setting_source, max(epoch) AS epoch FROM achieved GROUP BY ALL
        )
        SELECT study, setting_source, score, achieved.target AS target, value, seconds,
            accuracy, recipe, seeds,
            count(*) OVER (PARTITION BY study, setting_source, score) AS targets
        FROM achieved
        JOIN last USING (study, setting_source, epoch)
        JOIN told ON (told.source, told.epoch, told.target)
            = (setting_source, achieved.epoch, achieved.target)
        WHERE value IS NOT NULL
        QUALIFY targets >= {FEWEST_TARGETS}
        ORDER BY study, setting_source, list_position([{order}], score), target
    """
