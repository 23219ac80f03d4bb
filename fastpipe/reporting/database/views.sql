-- What the report reads, and what a user would otherwise write again and again.

-- Half the width of the Student-t 95 % interval of a mean: mean ± half_width95(x). The 0.975
-- quantile is a list up to 30 degrees of freedom, then the Cornish–Fisher series (error < 1e-5).
CREATE MACRO t975(df) AS CASE
    WHEN df < 1 THEN NULL
    WHEN df <= 30 THEN list_extract([
        12.706204736, 4.302652730, 3.182446305, 2.776445105, 2.570581836, 2.446911851,
        2.364624252, 2.306004135, 2.262157163, 2.228138852, 2.200985160, 2.178812830,
        2.160368656, 2.144786688, 2.131449546, 2.119905299, 2.109815578, 2.100922040,
        2.093024054, 2.085963447, 2.079613845, 2.073873068, 2.068657610, 2.063898562,
        2.059538553, 2.055529439, 2.051830516, 2.048407142, 2.045229642, 2.042272456], df)
    ELSE 1.959963985 + 2.372271 / df + 2.822502 / (df * df) + 2.555852 / (df * df * df)
END;
CREATE MACRO half_width95(x) AS
    CASE WHEN count(x) > 1 THEN t975(count(x) - 1) * stddev_samp(x) / sqrt(count(x)) END;

-- The pretrained snapshot at which arms are compared: the last one of each source and target.
CREATE VIEW settings AS
SELECT study, source, max(epoch) AS epoch, target
FROM arms
WHERE role <> 'scratch'
GROUP BY ALL;
COMMENT ON VIEW settings IS 'the last snapshot of each source, for each target: where the arms of a study are compared';

-- All runs compared at a setting. Scratch runs join from wherever they start.
CREATE VIEW comparison AS
SELECT
    settings.study, settings.source AS setting_source, settings.epoch AS setting_epoch,
    arms.arm, arms.role, arms.position, runs.*
FROM settings
JOIN arms
    ON arms.study = settings.study AND arms.target = settings.target
    AND ((arms.role = 'scratch' AND arms.source = settings.source)
        OR (arms.role = 'scratch' AND NOT EXISTS (
            FROM settings AS own
            WHERE own.study = arms.study AND own.source = arms.source
                AND own.target = arms.target))
        OR (arms.role <> 'scratch'
            AND arms.source = settings.source AND arms.epoch = settings.epoch))
JOIN runs
    ON (runs.source, runs.epoch, runs.target, runs.recipe)
        = (arms.source, arms.epoch, arms.target, arms.recipe)
    AND list_contains(arms.seeds, runs.seed)
WHERE NOT EXISTS (
    FROM arms AS other
    WHERE (other.study, other.source, other.epoch, other.target, other.recipe)
            = (arms.study, arms.source, arms.epoch, arms.target, arms.recipe)
        AND (other.role = 'scratch') = (arms.role = 'scratch')
        AND other.position < arms.position);
COMMENT ON VIEW comparison IS 'runs with the study and label of their arm, at the setting where arms are compared';

-- Recipes followed over the snapshots of a source, under the label they have at the last one.
CREATE VIEW over_pretraining AS
SELECT labels.study, labels.arm, labels.role, labels.position, runs.*
FROM (
    SELECT DISTINCT study, arm, role, position, setting_source AS source, target, recipe
    FROM comparison
    WHERE role <> 'scratch'
) AS labels
JOIN runs USING (source, target, recipe)
WHERE EXISTS (
    FROM arms
    WHERE (arms.study, arms.source, arms.epoch, arms.target, arms.recipe)
            = (labels.study, runs.source, runs.epoch, runs.target, runs.recipe)
        AND list_contains(arms.seeds, runs.seed));
COMMENT ON VIEW over_pretraining IS 'runs of the compared recipes at every snapshot of their source';

CREATE VIEW adp_bands AS
SELECT study, setting_source, setting_epoch, target, arm, role, position, step,
    count(top1) AS seeds, avg(top1) AS mean, half_width95(top1) AS half_width
FROM comparison
JOIN adp USING (source, epoch, target, recipe, seed)
GROUP BY ALL;
COMMENT ON VIEW adp_bands IS 'ADP top-1 on the target [fraction]: mean ± half_width (95 %) over seeds';

CREATE VIEW retention_bands AS
SELECT study, setting_source, setting_epoch, target, arm, role, position, step,
    count(forgetting.top1) AS seeds, avg(forgetting.top1) AS mean,
    half_width95(forgetting.top1) AS half_width, avg(top1_before) AS before
FROM comparison
JOIN forgetting USING (source, epoch, target, recipe, seed)
WHERE role <> 'scratch'
GROUP BY ALL;
COMMENT ON VIEW retention_bands IS 'source top-1 kept [fraction]: mean ± half_width (95 %) over seeds';

CREATE VIEW final_table AS
SELECT study, setting_source, setting_epoch, target, arm, role, position,
    count(*) AS runs, count(*) FILTER (status = 'diverged') AS diverged,
    avg(final_top1) AS top1, half_width95(final_top1) AS top1_half_width,
    avg(final_top5) AS top5, half_width95(final_top5) AS top5_half_width,
    avg(balanced_accuracy) AS balanced_accuracy,
    half_width95(balanced_accuracy) AS balanced_accuracy_half_width,
    avg(adp_auc) AS adp_auc, half_width95(adp_auc) AS adp_auc_half_width,
    avg(CASE WHEN role <> 'scratch' THEN final_forgotten END) AS forgotten,
    half_width95(CASE WHEN role <> 'scratch' THEN final_forgotten END) AS forgotten_half_width,
    avg(body_distance) AS distance, half_width95(body_distance) AS distance_half_width,
    avg(seconds) AS seconds, half_width95(seconds) AS seconds_half_width
FROM comparison
GROUP BY ALL;
COMMENT ON VIEW final_table IS 'the end of each arm: mean ± half_width (95 %) over seeds';
