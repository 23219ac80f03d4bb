"""Pretraining: one job for each snapshot, each continuing from the one before."""


def start_files(*names):
    """Files of the snapshot that the one in the wildcards continues from, if there is one."""

    def files(wildcards):
        before = graph.predecessor(wildcards)
        return in_folder(snapshot_folder(before), *names) if before else []

    return given("pretrain", files)


def own_files(files):
    """Files of the dataset that the source is trained on; released weights may have none."""
    return given(
        "pretrain",
        lambda w: files(graph.own_dataset(w)) if graph.own_dataset(w) else [],
    )


rule pretrain:
    input:
        dataset=own_files(
            lambda name: in_folder(dataset_folder(name), "prepare-train.json")
        ),
        splits=own_files(lambda name: split_files(name, "train", "val")),
        start=start_files("pretrain.json"),
        weights=start_files(
            "weights.safetensors", "training.safetensors", "history.parquet"
        ),
        stale=stale("pretrain"),
    output:
        weights="results/sources/{source}/epoch-{epoch}/weights.safetensors",
        training="results/sources/{source}/epoch-{epoch}/training.safetensors",
        history="results/sources/{source}/epoch-{epoch}/history.parquet",
        record="results/sources/{source}/epoch-{epoch}/pretrain.json",
    log:
        "results/logs/sources/{source}/epoch-{epoch}/pretrain.log",
    cache: "hash-omit-software"  # eligible for `--cache`, without a word if that is not given
    threads: THREADS
    resources:
        gpu=GPU,
        mem_mb=graph.needs.mem_mb("pretrain"),
        runtime=graph.needs.runtime("pretrain"),
        seconds=graph.needs.seconds("pretrain"),
    params:
        spec=graph.spec("pretrain"),
        identity=graph.identity("pretrain"),
    message:
        "Pretrain {wildcards.source} to epoch {wildcards.epoch}"
    shell:
        "fastpipe pretrain --spec={params.spec:q} --identity={params.identity:q}"
        " --dataset={input.dataset:q} --start={input.start:q}"
        " --out={output.record:q} > {log:q} 2>&1"
