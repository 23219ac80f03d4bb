"""Scores of transferability beside the accuracy that fine-tuning reaches."""

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
        WITH tried AS (
            SELECT study, setting_source, setting_epoch, target, recipe, count(*) AS seeds,
                avg(val_top1) AS validated, avg(final_top1) AS accuracy
            FROM comparison
            WHERE role <> 'scratch'
            GROUP BY ALL
            HAVING isfinite(validated) AND isfinite(accuracy)
        ),
        achieved AS (
            FROM tried
            QUALIFY 1 = row_number() OVER (
                PARTITION BY study, setting_source, setting_epoch, target
                ORDER BY validated DESC, recipe)
        ),
        told AS (
            SELECT source, epoch, target, score, value, seconds FROM scores
            UNION ALL BY NAME
            SELECT source, epoch, target, 'similarity' AS score, similarity AS value
            FROM similarity
        ),
        last AS (
            SELECT study, setting_source, max(setting_epoch) AS setting_epoch
            FROM achieved
            GROUP BY ALL
        )
        SELECT study, setting_source, score, achieved.target AS target, value, seconds,
            accuracy, recipe, seeds,
            count(*) OVER (PARTITION BY study, setting_source, score) AS targets
        FROM achieved
        JOIN last USING (study, setting_source, setting_epoch)
        JOIN told ON told.source = setting_source AND told.epoch = setting_epoch
            AND told.target = achieved.target
        WHERE value IS NOT NULL
        QUALIFY targets >= {FEWEST_TARGETS}
        ORDER BY study, setting_source, list_position([{order}], score), target
    """
