"""Fine-tuning: one job trains a pack, the runs of an aligned block of seeds.

Test images are no input here: training cannot see them.
"""


rule finetune:
    message:
        "Fine-tune {wildcards.source}@{wildcards.epoch} on {wildcards.target}: {wildcards.variant},"
        " seeds {wildcards.first} to {wildcards.last}"
    input:
        snapshot=snapshot_files("pretrain.json"),
        weights=snapshot_files("weights.safetensors"),
        dataset=lambda w: in_folder(dataset_folder(w.target), "prepare-train.json"),
        splits=lambda w: split_files(w.target, "train", "val"),
        stale=stale("finetune"),
    output:
        steps=PACK + "/steps.parquet",
        validations=PACK + "/validations.parquet",
        deployments=PACK + "/deployments.parquet",
        runs=PACK + "/runs.parquet",
        timing=PACK + "/finetune.timing.json",
        states=directory(PACK + "/states"),
        record=PACK + "/finetune.json",
    params:
        spec=graph.spec("finetune"),
        identity=graph.identity("finetune"),
    log:
        PACK.replace("results/runs", "results/logs/finetune") + ".log",
    benchmark:
        PACK.replace("results/runs", "results/benchmarks/finetune") + ".tsv"
    threads: THREADS
    resources:
        gpu=GPU,
        mem_mb=4000,
    shell:
        "fastpipe finetune --spec={params.spec:q} --identity={params.identity:q}"
        " --snapshot={input.snapshot:q} --dataset={input.dataset:q} --out={output.record:q}"
        " > {log:q} 2>&1"
