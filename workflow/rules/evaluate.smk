"""What the deployed states are worth: on the target's test split, and on the source's."""


rule deploy:
    input:
        pack=given("deploy", pack_files("finetune.json")),
        states=given("deploy", pack_files("states", "deployments.parquet")),
        snapshot=given("deploy", snapshot_files("pretrain.json")),
        weights=given("deploy", snapshot_files("weights.safetensors")),
        dataset=given(
            "deploy",
            lambda w: in_folder(dataset_folder(w.target), "prepare-test.json"),
        ),
        splits=given("deploy", lambda w: split_files(w.target, "test")),
        stale=stale("deploy"),
    output:
        adp="results/" + RUNS + "/adp.parquet",
        confusion="results/" + RUNS + "/confusion.parquet",
        record="results/" + RUNS + "/deploy.json",
    log:
        "results/logs/" + RUNS + "/deploy.log",
    benchmark:
        "results/benchmarks/" + RUNS + "/deploy.tsv"
    threads: THREADS
    resources:
        gpu=GPU,
        mem_mb=graph.needs.mem_mb("deploy"),
        runtime=graph.needs.runtime("deploy"),
        seconds=graph.needs.seconds("deploy"),
    params:
        spec=graph.spec("deploy"),
        identity=graph.identity("deploy"),
    message:
        "Deploy on {wildcards.target}: {wildcards.variant} from {wildcards.source}@{wildcards.epoch},"
        " seeds {wildcards.first} to {wildcards.last}"
    shell:
        "fastpipe deploy --spec={params.spec:q} --identity={params.identity:q}"
        " --pack={input.pack:q} --snapshot={input.snapshot:q} --dataset={input.dataset:q}"
        " --out={output.record:q} > {log:q} 2>&1"


rule forgetting:
    input:
        pack=given("forgetting", pack_files("finetune.json")),
        states=given("forgetting", pack_files("states", "deployments.parquet")),
        snapshot=given("forgetting", snapshot_files("pretrain.json")),
        weights=given("forgetting", snapshot_files("weights.safetensors")),
        dataset=given(
            "forgetting",
            lambda w: in_folder(
                dataset_folder(graph.own_dataset(w)), "prepare-test.json"
            ),
        ),
        splits=given("forgetting", lambda w: split_files(graph.own_dataset(w), "test")),
        stale=stale("forgetting"),
    output:
        forgetting="results/" + RUNS + "/forgetting.parquet",
        record="results/" + RUNS + "/forgetting.json",
    log:
        "results/logs/" + RUNS + "/forgetting.log",
    benchmark:
        "results/benchmarks/" + RUNS + "/forgetting.tsv"
    threads: THREADS
    resources:
        gpu=GPU,
        mem_mb=graph.needs.mem_mb("forgetting"),
        runtime=graph.needs.runtime("forgetting"),
        seconds=graph.needs.seconds("forgetting"),
    params:
        spec=graph.spec("forgetting"),
        identity=graph.identity("forgetting"),
    message:
        "Forgetting of {wildcards.source}@{wildcards.epoch} through {wildcards.target}:"
        " {wildcards.variant}, seeds {wildcards.first} to {wildcards.last}"
    shell:
        "fastpipe forgetting --spec={params.spec:q} --identity={params.identity:q}"
        " --pack={input.pack:q} --snapshot={input.snapshot:q} --dataset={input.dataset:q}"
        " --out={output.record:q} > {log:q} 2>&1"
