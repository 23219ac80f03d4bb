"""Images in: every dataset becomes uint8 arrays, split once."""


rule prepare:
    input:
        stale=stale("prepare"),
    # Each has a name, as Snakemake's cache between workflows asks for.
    output:
        **{
            f"{split}_{part}": f"results/datasets/{{dataset}}/{split}-{part}.npy"
            for split in SPLITS
            for part in ("images", "labels")
        },
        **{
            split: f"results/datasets/{{dataset}}/prepare-{split}.json"
            for split in SPLITS
        },
        card="results/datasets/{dataset}/card.json",
    log:
        "results/logs/datasets/{dataset}/prepare.log",
    cache: "hash-omit-software"  # eligible for `--cache`, without a word if that is not given
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
        " --out={output.card:q} > {log:q} 2>&1"
