"""Images in: every dataset becomes uint8 arrays, split once."""


rule prepare:
    input:
        stale=stale("prepare"),
    output:
        card="results/datasets/{dataset}/card.json",
        images=expand("results/datasets/{{dataset}}/{split}-images.npy", split=SPLITS),
        labels=expand("results/datasets/{{dataset}}/{split}-labels.npy", split=SPLITS),
        records=expand(
            "results/datasets/{{dataset}}/prepare-{split}.json", split=SPLITS
        ),
    log:
        "results/logs/datasets/{dataset}/prepare.log",
    benchmark:
        "results/benchmarks/datasets/{dataset}/prepare.tsv"
    resources:
        mem_mb=graph.needs.mem_mb("prepare"),
        runtime=graph.needs.runtime("prepare"),
        seconds=graph.needs.seconds("prepare"),
    params:
        spec=graph.spec("prepare"),
        identity=graph.identity("prepare"),
    message:
        "Prepare {wildcards.dataset}"
    shell:
        "fastpipe prepare --spec={params.spec:q} --identity={params.identity:q}"
        " --downloads={DOWNLOADS:q} --out={output.card:q} > {log:q} 2>&1"
