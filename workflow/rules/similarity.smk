"""How near is the target? Features at a snapshot, the Earth Mover's Distance between class means, and
scores of transferability."""


rule features:
    input:
        snapshot=given("features", snapshot_files("pretrain.json")),
        weights=given("features", snapshot_files("weights.safetensors")),
        dataset=given(
            "features",
            lambda w: in_folder(dataset_folder(w.dataset), "prepare-train.json"),
        ),
        splits=given("features", lambda w: split_files(w.dataset, "train", "val")),
        stale=stale("features"),
    output:
        means="results/features/{source}@{epoch}/{dataset}/means.safetensors",
        images="results/features/{source}@{epoch}/{dataset}/images.safetensors",
        record="results/features/{source}@{epoch}/{dataset}/features.json",
    log:
        "results/logs/features/{source}@{epoch}/{dataset}/features.log",
    benchmark:
        "results/benchmarks/features/{source}@{epoch}/{dataset}/features.tsv"
    threads: THREADS
    resources:
        gpu=GPU,
        mem_mb=graph.needs.mem_mb("features"),
        runtime=graph.needs.runtime("features"),
        seconds=graph.needs.seconds("features"),
    params:
        spec=graph.spec("features"),
        identity=graph.identity("features"),
    message:
        "Features of {wildcards.dataset} at {wildcards.source}@{wildcards.epoch}"
    shell:
        "fastpipe features --spec={params.spec:q} --identity={params.identity:q}"
        " --snapshot={input.snapshot:q} --dataset={input.dataset:q} --out={output.record:q}"
        " > {log:q} 2>&1"


def class_means(name, dataset):
    """Input function: a file of the features of a dataset, which depends on the wildcards."""
    return given(
        "similarity",
        lambda w: in_folder(features_folder(extractor(w), dataset(w)), name),
    )


# `{extractor}` is empty in the source's own features, else a slash and the extractor's name.
rule similarity:
    input:
        source=class_means("features.json", graph.own_dataset),
        source_means=class_means("means.safetensors", graph.own_dataset),
        target=class_means("features.json", lambda w: w.target),
        target_means=class_means("means.safetensors", lambda w: w.target),
        stale=stale("similarity"),
    output:
        similarity="results/similarity/{source}@{epoch}/{target}{extractor}/similarity.parquet",
        flow="results/similarity/{source}@{epoch}/{target}{extractor}/flow.parquet",
        record="results/similarity/{source}@{epoch}/{target}{extractor}/similarity.json",
    log:
        "results/logs/similarity/{source}@{epoch}/{target}{extractor}/similarity.log",
    benchmark:
        "results/benchmarks/similarity/{source}@{epoch}/{target}{extractor}/similarity.tsv"
    resources:
        mem_mb=graph.needs.mem_mb("similarity"),
        runtime=graph.needs.runtime("similarity"),
        seconds=graph.needs.seconds("similarity"),
    params:
        spec=graph.spec("similarity"),
        identity=graph.identity("similarity"),
    message:
        "Similarity of {wildcards.target} to {wildcards.source}@{wildcards.epoch}{wildcards.extractor}"
    shell:
        "fastpipe similarity --spec={params.spec:q} --identity={params.identity:q}"
        " --source={input.source:q} --target={input.target:q} --out={output.record:q}"
        " > {log:q} 2>&1"


rule scores:
    input:
        features=given(
            "scores",
            lambda w: in_folder(
                features_folder(snapshot(w), w.target), "features.json"
            ),
        ),
        images=given(
            "scores",
            lambda w: in_folder(
                features_folder(snapshot(w), w.target), "images.safetensors"
            ),
        ),
        stale=stale("scores"),
    output:
        scores="results/similarity/{source}@{epoch}/{target}/scores.parquet",
        record="results/similarity/{source}@{epoch}/{target}/scores.json",
    log:
        "results/logs/similarity/{source}@{epoch}/{target}/scores.log",
    benchmark:
        "results/benchmarks/similarity/{source}@{epoch}/{target}/scores.tsv"
    resources:
        mem_mb=graph.needs.mem_mb("scores"),
        runtime=graph.needs.runtime("scores"),
        seconds=graph.needs.seconds("scores"),
    params:
        spec=graph.spec("scores"),
        identity=graph.identity("scores"),
    message:
        "Transferability of {wildcards.source}@{wildcards.epoch} to {wildcards.target}"
    shell:
        "fastpipe scores --spec={params.spec:q} --identity={params.identity:q}"
        " --features={input.features:q} --out={output.record:q} > {log:q} 2>&1"
