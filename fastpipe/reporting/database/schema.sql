-- The tables of study.duckdb: an interface for users, so every column says its unit.
-- Identity of a run: source, epoch, target, recipe (the variant's name), seed.

CREATE TABLE studies (
    position INTEGER, name VARCHAR, title VARCHAR, description VARCHAR, scale VARCHAR,
    exhibits VARCHAR[], claims VARCHAR[], includes VARCHAR[]
);
COMMENT ON TABLE studies IS 'the study itself (position 0), then those it includes';
COMMENT ON COLUMN studies.scale IS 'one sentence on data, network and steps at this scale';
COMMENT ON COLUMN studies.exhibits IS 'exhibits drawn from its arms; none = the general ones';
COMMENT ON COLUMN studies.claims IS 'claims judged by its arms';
COMMENT ON COLUMN studies.includes IS 'studies whose arms belong to it too, at any depth';

CREATE TABLE findings (
    study VARCHAR, claim VARCHAR, text VARCHAR
);
COMMENT ON TABLE findings IS 'what its author found out about a claim that does not come out as in the paper';

CREATE TABLE arms (
    study VARCHAR, position INTEGER, arm VARCHAR, role VARCHAR,
    source VARCHAR, epoch DOUBLE, target VARCHAR, recipe VARCHAR, seeds BIGINT[]
);
COMMENT ON TABLE arms IS 'what a study compares: a label for each recipe on each snapshot and target';
COMMENT ON COLUMN arms.study IS 'the study, or the included one, that declares the arm';
COMMENT ON COLUMN arms.position IS 'place of the label in the legends of its study, from 0';
COMMENT ON COLUMN arms.role IS 'fast, baseline, warmup, feature-extraction, scratch or other';
COMMENT ON COLUMN arms.epoch IS 'pretraining epochs of the snapshot that the runs start from';
COMMENT ON COLUMN arms.recipe IS 'name of the recipe variant';

CREATE TABLE recipes (
    recipe VARCHAR, alpha DOUBLE, beta DOUBLE,
    head_init VARCHAR, head_sigma DOUBLE, head_bias BOOLEAN, body_mode VARCHAR,
    warmup VARCHAR, warmup_patience BIGINT, warmup_gain DOUBLE,
    optimiser VARCHAR, momentum DOUBLE, momentum_form VARCHAR, weight_decay DOUBLE,
    effective_weight_decay DOUBLE, head_weight_decay DOUBLE, regulariser VARCHAR,
    decayed VARCHAR, decay_form VARCHAR, bn_momentum DOUBLE,
    schedule VARCHAR, milestones DOUBLE[], decay_factor DOUBLE, protocol VARCHAR,
    steps BIGINT, batch_size BIGINT, batches VARCHAR,
    flip BOOLEAN, crop VARCHAR, colour_jitter DOUBLE,
    elr DOUBLE, "lambda" DOUBLE
);
COMMENT ON TABLE recipes IS 'every field of each recipe variant';
COMMENT ON COLUMN recipes.alpha IS 'learning rate of the head';
COMMENT ON COLUMN recipes.beta IS 'learning rate of the body';
COMMENT ON COLUMN recipes.elr IS 'effective learning rate η/(1 − m) where head and body share one rate η and SGD has torch''s momentum m (0 if none); else none';
COMMENT ON COLUMN recipes."lambda" IS 'λ of the body, whether declared or as effective weight decay λ'' = λ/η';
COMMENT ON COLUMN recipes.head_sigma IS 'standard deviation of W(0) where head_init is normal';

CREATE TABLE datasets (
    dataset VARCHAR, size INTEGER, channels INTEGER, classes VARCHAR[],
    train BIGINT, val BIGINT, test BIGINT, card VARCHAR
);
COMMENT ON TABLE datasets IS 'the prepared datasets';
COMMENT ON COLUMN datasets.size IS 'side of the square images [pixels]';
COMMENT ON COLUMN datasets.train IS 'training images';
COMMENT ON COLUMN datasets.val IS 'validation images';
COMMENT ON COLUMN datasets.test IS 'test images';
COMMENT ON COLUMN datasets.card IS 'the whole card, as JSON text';

CREATE TABLE snapshots (
    source VARCHAR, epoch DOUBLE, dataset VARCHAR, backbone VARCHAR, skips BOOLEAN, features BIGINT,
    steps BIGINT, val_top1 DOUBLE, device VARCHAR, precision VARCHAR
);
COMMENT ON TABLE snapshots IS 'sources at the pretraining epochs the study uses';
COMMENT ON COLUMN snapshots.epoch IS 'pretraining [epochs]';
COMMENT ON COLUMN snapshots.dataset IS 'trained on; none for released weights without their images';
COMMENT ON COLUMN snapshots.skips IS 'the backbone has skip connections (a smooth loss landscape)';
COMMENT ON COLUMN snapshots.features IS 'feature length D';
COMMENT ON COLUMN snapshots.steps IS 'pretraining [optimiser updates]';
COMMENT ON COLUMN snapshots.val_top1 IS 'top-1 accuracy on the source''s validation split [fraction]';

CREATE TABLE history (
    source VARCHAR, epoch DOUBLE, step BIGINT, split VARCHAR, loss DOUBLE, top1 DOUBLE
);
COMMENT ON TABLE history IS 'pretraining: each training step and each validation';
COMMENT ON COLUMN history.epoch IS 'position in pretraining [epochs]';
COMMENT ON COLUMN history.step IS 'position in pretraining [optimiser updates]';
COMMENT ON COLUMN history.split IS 'train (the batch of that step) or val';
COMMENT ON COLUMN history.loss IS 'mean cross-entropy [nats]';
COMMENT ON COLUMN history.top1 IS 'accuracy [fraction]';

CREATE TABLE steps (
    source VARCHAR, epoch DOUBLE, target VARCHAR, recipe VARCHAR, seed BIGINT,
    step BIGINT, loss DOUBLE, head_norm DOUBLE, diverged BOOLEAN
);
COMMENT ON TABLE steps IS 'fine-tuning, every step';
COMMENT ON COLUMN steps.step IS 'optimiser updates done; 0 = before the first';
COMMENT ON COLUMN steps.loss IS 'mean cross-entropy of the step''s batch [nats]; none at step 0';
COMMENT ON COLUMN steps.head_norm IS 'Frobenius norm of the head''s weights W after the step';
COMMENT ON COLUMN steps.diverged IS 'the loss was not finite';

CREATE TABLE dynamics (
    source VARCHAR, epoch DOUBLE, target VARCHAR, recipe VARCHAR, seed BIGINT,
    step BIGINT, squared_error DOUBLE, entropy DOUBLE, soft_accuracy DOUBLE,
    feature_gradient DOUBLE, head_update DOUBLE, body_update DOUBLE,
    body_norm DOUBLE, body_distance DOUBLE
);
COMMENT ON TABLE dynamics IS 'an update looked at closely, at the steps that are validated';
COMMENT ON COLUMN dynamics.step IS 'the update: 1 is the first';
COMMENT ON COLUMN dynamics.squared_error IS 'mean ‖δ‖² = ‖y − ŷ‖² over the step''s batch, before the update';
COMMENT ON COLUMN dynamics.entropy IS 'mean entropy of ŷ over the step''s batch, before the update [nats]';
COMMENT ON COLUMN dynamics.soft_accuracy IS 'ψ: mean probability of the true class over the step''s batch, before the update';
COMMENT ON COLUMN dynamics.feature_gradient IS 'mean ‖∂ℓ/∂a‖ = ‖δW‖ over the step''s batch, before the update';
COMMENT ON COLUMN dynamics.head_update IS '‖ΔW‖ of the update (so V_W)';
COMMENT ON COLUMN dynamics.body_norm IS '‖θ‖ after the update';
COMMENT ON COLUMN dynamics.body_distance IS '‖θ − θ_source‖ after the update';
COMMENT ON COLUMN dynamics.body_update IS '‖Δθ‖ of the update (so V_θ)';

CREATE TABLE layers (
    source VARCHAR, epoch DOUBLE, target VARCHAR, recipe VARCHAR, seed BIGINT,
    position BIGINT, layer VARCHAR, parameters BIGINT, distance DOUBLE
);
COMMENT ON TABLE layers IS 'how far each layer of the body has moved';
COMMENT ON COLUMN layers.position IS 'place in the network, from the input';
COMMENT ON COLUMN layers.parameters IS 'number of its parameters';
COMMENT ON COLUMN layers.distance IS 'Euclidean distance of the layer deployed at the end from the snapshot''s';

CREATE TABLE validations (
    source VARCHAR, epoch DOUBLE, target VARCHAR, recipe VARCHAR, seed BIGINT,
    step BIGINT, phase VARCHAR, loss DOUBLE, top1 DOUBLE, top5 DOUBLE, correct BIGINT,
    images BIGINT
);
COMMENT ON TABLE validations IS 'scheduled validations on the target''s validation split';
COMMENT ON COLUMN validations.step IS 'optimiser updates done';
COMMENT ON COLUMN validations.phase IS 'warmup (head only) or joint';
COMMENT ON COLUMN validations.loss IS 'mean cross-entropy [nats]';
COMMENT ON COLUMN validations.top1 IS 'accuracy [fraction]';

CREATE TABLE deployments (
    source VARCHAR, epoch DOUBLE, target VARCHAR, recipe VARCHAR, seed BIGINT,
    step BIGINT, deployed_step BIGINT
);
COMMENT ON TABLE deployments IS 'which state is deployed at which checkpoint';
COMMENT ON COLUMN deployments.step IS 'deployment checkpoint [optimiser updates]';
COMMENT ON COLUMN deployments.deployed_step IS 'step of the best validated state so far';

CREATE TABLE adp (
    source VARCHAR, epoch DOUBLE, target VARCHAR, recipe VARCHAR, seed BIGINT,
    step BIGINT, deployed_step BIGINT, loss DOUBLE, top1 DOUBLE, top5 DOUBLE, images BIGINT
);
COMMENT ON TABLE adp IS 'anytime deployment performance: deployed states on the target''s test split';
COMMENT ON COLUMN adp.step IS 'deployment checkpoint [optimiser updates]';
COMMENT ON COLUMN adp.deployed_step IS 'step of the state that is deployed there';
COMMENT ON COLUMN adp.loss IS 'mean cross-entropy [nats]';
COMMENT ON COLUMN adp.top1 IS 'accuracy [fraction]';
COMMENT ON COLUMN adp.top5 IS 'true class among the five highest scores [fraction]; none with 5 classes or fewer';

CREATE TABLE forgetting (
    source VARCHAR, epoch DOUBLE, target VARCHAR, recipe VARCHAR, seed BIGINT,
    step BIGINT, deployed_step BIGINT, top1 DOUBLE, top5 DOUBLE, top1_before DOUBLE, forgotten DOUBLE
);
COMMENT ON TABLE forgetting IS 'deployed bodies under the snapshot''s own head, on the source''s test split';
COMMENT ON COLUMN forgetting.step IS 'deployment checkpoint [optimiser updates]';
COMMENT ON COLUMN forgetting.top1 IS 'source accuracy of the deployed state [fraction]';
COMMENT ON COLUMN forgetting.top1_before IS 'source accuracy of the snapshot [fraction]';
COMMENT ON COLUMN forgetting.forgotten IS 'top1_before - top1 [fraction]';

CREATE TABLE similarity (
    source VARCHAR, epoch DOUBLE, target VARCHAR, distance DOUBLE, similarity DOUBLE,
    gamma DOUBLE, source_classes BIGINT, target_classes BIGINT
);
COMMENT ON TABLE similarity IS 'domain similarity of source and target in the snapshot''s features';
COMMENT ON COLUMN similarity.distance IS 'earth mover''s distance d between class means [feature units]';
COMMENT ON COLUMN similarity.similarity IS 'exp(-gamma d), in (0, 1]';

CREATE TABLE extractor_similarity (
    source VARCHAR, epoch DOUBLE, target VARCHAR, extractor VARCHAR, distance DOUBLE,
    similarity DOUBLE, gamma DOUBLE, source_classes BIGINT, target_classes BIGINT
);
COMMENT ON TABLE extractor_similarity IS 'domain similarity in the features of several snapshots, the source''s own included';
COMMENT ON COLUMN extractor_similarity.extractor IS 'source@epoch whose features are compared';

CREATE TABLE scores (
    source VARCHAR, epoch DOUBLE, target VARCHAR, score VARCHAR, value DOUBLE, images BIGINT,
    seconds DOUBLE
);
COMMENT ON TABLE scores IS 'transferability of a snapshot to a target, from its features of training images alone; probes are scored on the validation split';
COMMENT ON COLUMN scores.score IS 'logme, leep, nce, h-score, regularised-h-score, transrate, knn or ridge; larger is better';
COMMENT ON COLUMN scores.images IS 'target images used';
COMMENT ON COLUMN scores.seconds IS 'time to compute it, features given [seconds]';

CREATE TABLE confusion (
    source VARCHAR, epoch DOUBLE, target VARCHAR, recipe VARCHAR, seed BIGINT,
    label BIGINT, predicted BIGINT, images BIGINT
);
COMMENT ON TABLE confusion IS 'test images by true and predicted class, state deployed at the last checkpoint; pairs without images are left out';
COMMENT ON COLUMN confusion.label IS 'true class: place in datasets.classes, from 0';
COMMENT ON COLUMN confusion.predicted IS 'predicted class; -1 where a score is no number';

CREATE TABLE flow (
    source VARCHAR, epoch DOUBLE, target VARCHAR,
    source_class VARCHAR, target_class VARCHAR, flow DOUBLE
);
COMMENT ON TABLE flow IS 'the optimal transport behind the distance: which source classes serve which target class';
COMMENT ON COLUMN flow.flow IS 'mass moved [fraction of all; sums to 1 over a pair of datasets]';

CREATE TABLE runs (
    source VARCHAR, epoch DOUBLE, target VARCHAR, recipe VARCHAR, seed BIGINT,
    steps BIGINT, seconds DOUBLE, device VARCHAR, precision VARCHAR,
    body_distance DOUBLE, adp_auc DOUBLE, final_top1 DOUBLE, status VARCHAR,
    final_top5 DOUBLE, final_forgotten DOUBLE,
    diverged_step BIGINT, warmup_end_step BIGINT, images BIGINT, prototype_cosine DOUBLE,
    val_top1 DOUBLE, balanced_accuracy DOUBLE,
    device_name VARCHAR, peak_bytes BIGINT, utilisation DOUBLE
);
COMMENT ON TABLE runs IS 'one row per run';
COMMENT ON COLUMN runs.steps IS 'steps executed [optimiser updates]';
COMMENT ON COLUMN runs.seconds IS 'wall time of the run''s fine-tuning, validations included [seconds]';
COMMENT ON COLUMN runs.body_distance IS 'Euclidean distance of the body deployed at the end from the snapshot''s';
COMMENT ON COLUMN runs.adp_auc IS 'area under ADP top-1 over log(step) from step 1 on, over the axis'' length, in [0, 1]';
COMMENT ON COLUMN runs.final_top1 IS 'ADP top-1 at the last checkpoint [fraction]';
COMMENT ON COLUMN runs.val_top1 IS 'accuracy of the last state on the target''s validation split, by which settings are chosen; 1/classes if the run diverged [fraction]';
COMMENT ON COLUMN runs.balanced_accuracy IS 'mean over classes of the accuracy within a class, last deployed state, test split [fraction]';
COMMENT ON COLUMN runs.status IS 'ok or diverged';
COMMENT ON COLUMN runs.final_top5 IS 'ADP top-5 at the last checkpoint [fraction]';
COMMENT ON COLUMN runs.final_forgotten IS 'source accuracy lost at the last checkpoint [fraction]';
COMMENT ON COLUMN runs.diverged_step IS 'first step whose loss or gradient was not finite';
COMMENT ON COLUMN runs.warmup_end_step IS 'last step of warm-up; none without one';
COMMENT ON COLUMN runs.images IS 'images trained on';
COMMENT ON COLUMN runs.device IS 'cpu or cuda';
COMMENT ON COLUMN runs.device_name IS 'name of the GPU, or cpu';
COMMENT ON COLUMN runs.peak_bytes IS 'most memory that the pack''s process took from the GPU; on the CPU, its largest resident size [bytes]';
COMMENT ON COLUMN runs.utilisation IS 'mean share of the time in which the GPU computed anything while the pack was trained; none if not sampled [fraction]';
COMMENT ON COLUMN runs.prototype_cosine IS 'cosine of W(1) − W(0) and the first batch''s class means minus its global mean (training-mode features)';

CREATE TABLE advice (
    study VARCHAR, source VARCHAR, epoch DOUBLE, target VARCHAR, predictor VARCHAR, search BOOLEAN,
    similarity DOUBLE, low DOUBLE, high DOUBLE, point DOUBLE, best_elr DOUBLE, recipe VARCHAR,
    regret DOUBLE, tried BIGINT, points BIGINT
);
COMMENT ON TABLE advice IS 'leave-one-target-out: the learning rate advised for each target from all others, and what that was worth';
COMMENT ON COLUMN advice.predictor IS 'nearest (the paper''s rule), regression, median, default or random';
COMMENT ON COLUMN advice.search IS 'whether the range was searched on the target''s validation split, or one recipe taken unseen';
COMMENT ON COLUMN advice.similarity IS 'of the target to the source, exp(-gamma d)';
COMMENT ON COLUMN advice.low IS 'lower end of the predicted range of effective learning rates; none for random';
COMMENT ON COLUMN advice.high IS 'upper end of the range';
COMMENT ON COLUMN advice.point IS 'effective learning rate taken without a search';
COMMENT ON COLUMN advice.best_elr IS 'effective learning rate of the full grid''s choice on validation';
COMMENT ON COLUMN advice.recipe IS 'the recipe chosen; none for random, which is an expectation';
COMMENT ON COLUMN advice.regret IS 'test accuracy of the full grid''s choice minus that of this one, means over seeds [fraction]';
COMMENT ON COLUMN advice.tried IS 'points of the grid trained on the target';
COMMENT ON COLUMN advice.points IS 'points of the full grid';
