"""Images in: every dataset becomes uint8 arrays, split once."""


rule prepare:
    message:
        "Prepare {wildcards.dataset}"
    input:
        stale=stale("prepare"),
    output:
        card="results/datasets/{dataset}/card.json",
        images=expand("results/datasets/{{dataset}}/{split}-images.npy", split=SPLITS),
        labels=expand("results/datasets/{{dataset}}/{split}-labels.npy", split=SPLITS),
        records=expand("results/datasets/{{dataset}}/prepare-{split}.json", split=SPLITS),
    params:
        spec=graph.spec("prepare"),
        identity=graph.identity("prepare"),
    log:
        "results/logs/prepare/{dataset}.log",
    benchmark:
        "results/benchmarks/prepare/{dataset}.tsv"
    resources:
        mem_mb=2000,
    shell:
        "fastpipe prepare --spec={params.spec:q} --identity={params.identity:q}"
        " --downloads={DOWNLOADS:q} --out={output.card:q} > {log:q} 2>&1"
