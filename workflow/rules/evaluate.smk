"""What the deployed states are worth: on the target's test split, and on the source's."""


rule deploy:
    message:
        "Deploy on {wildcards.target}: {wildcards.variant} from {wildcards.source}@{wildcards.epoch},"
        " seeds {wildcards.first} to {wildcards.last}"
    input:
        pack=pack_files("finetune.json"),
        states=pack_files("states", "deployments.parquet"),
        snapshot=snapshot_files("pretrain.json"),
        weights=snapshot_files("weights.safetensors"),
        dataset=lambda w: in_folder(dataset_folder(w.target), "prepare-test.json"),
        splits=lambda w: split_files(w.target, "test"),
        stale=stale("deploy"),
    output:
        adp=PACK + "/adp.parquet",
        record=PACK + "/deploy.json",
    params:
        spec=graph.spec("deploy"),
        identity=graph.identity("deploy"),
    log:
        PACK.replace("results/runs", "results/logs/deploy") + ".log",
    benchmark:
        PACK.replace("results/runs", "results/benchmarks/deploy") + ".tsv"
    threads: THREADS
    resources:
        gpu=GPU,
        mem_mb=4000,
    shell:
        "fastpipe deploy --spec={params.spec:q} --identity={params.identity:q}"
        " --pack={input.pack:q} --snapshot={input.snapshot:q} --dataset={input.dataset:q}"
        " --out={output.record:q} > {log:q} 2>&1"


rule forgetting:
    message:
        "Forgetting of {wildcards.source}@{wildcards.epoch} through {wildcards.target}:"
        " {wildcards.variant}, seeds {wildcards.first} to {wildcards.last}"
    input:
        pack=pack_files("finetune.json"),
        states=pack_files("states", "deployments.parquet"),
        snapshot=snapshot_files("pretrain.json"),
        weights=snapshot_files("weights.safetensors"),
        dataset=lambda w: in_folder(dataset_folder(graph.own_dataset(w)), "prepare-test.json"),
        splits=lambda w: split_files(graph.own_dataset(w), "test"),
        stale=stale("forgetting"),
    output:
        forgetting=PACK + "/forgetting.parquet",
        record=PACK + "/forgetting.json",
    params:
        spec=graph.spec("forgetting"),
        identity=graph.identity("forgetting"),
    log:
        PACK.replace("results/runs", "results/logs/forgetting") + ".log",
    benchmark:
        PACK.replace("results/runs", "results/benchmarks/forgetting") + ".tsv"
    threads: THREADS
    resources:
        gpu=GPU,
        mem_mb=4000,
    shell:
        "fastpipe forgetting --spec={params.spec:q} --identity={params.identity:q}"
        " --pack={input.pack:q} --snapshot={input.snapshot:q} --dataset={input.dataset:q}"
        " --out={output.record:q} > {log:q} 2>&1"
