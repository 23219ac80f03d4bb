-- One row per run, from the staged facts of the packs and what deployment measured.
-- ADP-AUC: trapezoids of top-1 over log(step) from step 1 to the last checkpoint, over the axis'
-- length (as fastpipe.evaluation.anytime.adp_auc). Without a checkpoint at step 1 it is undefined.
INSERT INTO runs BY NAME
WITH pieces AS (
    SELECT source, epoch, target, recipe, seed, step, top1,
        lag(step) OVER run AS left_step,
        (top1 + lag(top1) OVER run) / 2 * ln(step / lag(step) OVER run) AS area
    FROM adp
    WHERE step >= 1
    WINDOW run AS (PARTITION BY source, epoch, target, recipe, seed ORDER BY step)
),
areas AS (
    SELECT source, epoch, target, recipe, seed,
        CASE
            WHEN min(step) <> 1 OR count(top1) < count(*) THEN NULL
            WHEN max(step) = 1 THEN max(top1)
            ELSE sum(area ORDER BY step) / ln(max(step))
        END AS adp_auc
    FROM pieces GROUP BY ALL
),
finals AS (
    SELECT source, epoch, target, recipe, seed,
        arg_max(struct_pack(top1 := top1, top5 := top5), step) AS last
    FROM adp GROUP BY ALL
),
last_validations AS (
    SELECT source, epoch, target, recipe, seed, arg_max(top1, step) AS top1
    FROM validations GROUP BY ALL
),
recalls AS (
    SELECT source, epoch, target, recipe, seed,
        sum(images) FILTER (label = predicted) / sum(images) AS recall
    FROM confusion GROUP BY source, epoch, target, recipe, seed, label
),
balanced AS (
    SELECT source, epoch, target, recipe, seed,
        avg(coalesce(recall, 0)) AS balanced_accuracy
    FROM recalls GROUP BY ALL
),
lost AS (
    SELECT source, epoch, target, recipe, seed,
        arg_max(struct_pack(forgotten := forgotten), step) AS last
    FROM forgetting GROUP BY ALL
)
SELECT
    staged.*, adp_auc,
    finals.last.top1 AS final_top1, finals.last.top5 AS final_top5,
    lost.last.forgotten AS final_forgotten, balanced_accuracy,
    CASE WHEN status = 'diverged' THEN 1 / len(datasets.classes)
        ELSE last_validations.top1 END AS val_top1
FROM staged_runs AS staged
LEFT JOIN areas USING (source, epoch, target, recipe, seed)
LEFT JOIN finals USING (source, epoch, target, recipe, seed)
LEFT JOIN lost USING (source, epoch, target, recipe, seed)
LEFT JOIN last_validations USING (source, epoch, target, recipe, seed)
LEFT JOIN balanced USING (source, epoch, target, recipe, seed)
LEFT JOIN datasets ON datasets.dataset = staged.target
ORDER BY source, epoch, target, recipe, seed;
