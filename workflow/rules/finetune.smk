"""Fine-tuning: one job trains a pack, the runs of an aligned block of seeds.

Test images are no input here: training cannot see them.
"""


rule finetune:
    input:
        snapshot=given("finetune", snapshot_files("pretrain.json")),
        weights=given("finetune", snapshot_files("weights.safetensors")),
        dataset=given(
            "finetune",
            lambda w: in_folder(dataset_folder(w.target), "prepare-train.json"),
        ),
        splits=given("finetune", lambda w: split_files(w.target, "train", "val")),
        stale=stale("finetune"),
    output:
        steps="results/" + RUNS + "/steps.parquet",
        dynamics="results/" + RUNS + "/dynamics.parquet",
        layers="results/" + RUNS + "/layers.parquet",
        validations="results/" + RUNS + "/validations.parquet",
        deployments="results/" + RUNS + "/deployments.parquet",
        runs="results/" + RUNS + "/runs.parquet",
        timing="results/" + RUNS + "/finetune.timing.json",
        states=directory("results/" + RUNS + "/states"),
        record="results/" + RUNS + "/finetune.json",
    log:
        "results/logs/" + RUNS + "/finetune.log",
    benchmark:
        "results/benchmarks/" + RUNS + "/finetune.tsv"
    threads: THREADS
    resources:
        gpu=GPU,
        mem_mb=graph.needs.mem_mb("finetune"),
        runtime=graph.needs.runtime("finetune"),
        seconds=graph.needs.seconds("finetune"),
    params:
        spec=graph.spec("finetune"),
        identity=graph.identity("finetune"),
    message:
        "Fine-tune {wildcards.source}@{wildcards.epoch} on {wildcards.target}: {wildcards.variant},"
        " seeds {wildcards.first} to {wildcards.last}"
    shell:
        "fastpipe finetune --spec={params.spec:q} --identity={params.identity:q}"
        " --snapshot={input.snapshot:q} --dataset={input.dataset:q} --out={output.record:q}"
        " > {log:q} 2>&1"
