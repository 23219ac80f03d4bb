"""Everything into one database, and out of it the charts and the page."""


localrules:
    collect,
    report,


def collected(wildcards):
    """What `collect` has to wait for."""
    with damage_ends_it():
        graph.look_at(wildcards.study)
        parts = shown(graph.plan.parts(wildcards.study))
    return [file for file in files(parts) if file.endswith((".json", ".parquet"))]


rule collect:
    input:
        collected,
        stale=stale("collect"),
    output:
        database="results/studies/{study}/study.duckdb",
        record="results/studies/{study}/collect.json",
    log:
        "results/logs/studies/{study}/collect.log",
    benchmark:
        "results/benchmarks/studies/{study}/collect.tsv"
    params:
        spec=graph.spec("collect"),
        identity=graph.identity("collect"),
    message:
        "Collect the study {wildcards.study}"
    shell:
        # The spec names every pack and may be too long for an argument.
        "printf '%s' {params.spec:q} | fastpipe collect --spec=- --identity={params.identity:q}"
        " --out={output.record:q} > {log:q} 2>&1"


def collect_record(wildcards):
    """`ancient` if nothing is to be done, whatever the times of a copied folder say."""
    study = wildcards.study
    record = str(graph.plan.collect(study).record)
    if not only_what_is_left():
        return record
    with damage_ends_it():
        graph.look_at(study)
    return record if shown(graph.plan.jobs(study)) else ancient(record)


rule report:
    input:
        collect=collect_record,
        database=ancient("results/studies/{study}/study.duckdb"),
        stale=stale("report"),
    output:
        page=report(
            "results/studies/{study}/report.html",
            caption="../report/page.rst",
            category="{study}",
            labels={"what": "the whole report"},
        ),
        charts=report(
            directory("results/studies/{study}/charts"),
            patterns=["{chart}.svg"],
            caption="../report/chart.rst",
            category="{study}",
            subcategory="charts",
            labels={"what": "{chart}"},
        ),
        claims="results/studies/{study}/claims.parquet",
        claims_csv="results/studies/{study}/claims.csv",
        record="results/studies/{study}/report.json",
    log:
        "results/logs/studies/{study}/report.log",
    benchmark:
        "results/benchmarks/studies/{study}/report.tsv"
    params:
        spec=graph.spec("report"),
        identity=graph.identity("report"),
    message:
        "Report on the study {wildcards.study}"
    shell:
        "fastpipe report --spec={params.spec:q} --identity={params.identity:q}"
        " --database={input.collect:q} --out={output.record:q} > {log:q} 2>&1"
