"""What people read.

REQUIRES  metrics, comparisons, coverage
MAKES     results/report/index.html, results/tables/{results,TABLE}.*,
          results/{dataset}/report/index.html
"""


rule tables:
    """Write the results as csv, md, html and tex."""
    input:
        ancient(targets.settled("tables")),
        targets.pending("tables"),
    output:
        multiext(
            "results/tables/results", ".csv", ".md", ".html", ".tex", ".made_of.json"
        ),
        "results/tables/metrics.json",
    log:
        "logs/tables.log",
    benchmark:
        "logs/benchmarks/tables.tsv"
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
        gpu=0,
    shell:
        "python -m expressway table results > {log:q} 2>&1"


rule published_table:
    """Write one of the tables in config/tables beside the paper's numbers."""
    input:
        ancient(targets.settled("published_table")),
        targets.pending("published_table"),
    output:
        multiext(
            "results/tables/{table}", ".csv", ".md", ".html", ".tex", ".made_of.json"
        ),
    log:
        "logs/tables/{table}.log",
    benchmark:
        "logs/benchmarks/tables/{table}.tsv"
    wildcard_constraints:
        table=targets.table_pattern,
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
        gpu=0,
    shell:
        "python -m expressway table {wildcards.table:q} > {log:q} 2>&1"


rule report:
    """Write the report: one page that needs nothing else."""
    input:
        ancient(targets.settled("report")),
        targets.pending("report"),
    output:
        page=report("results/report/index.html", category="Report"),
        made_of="results/report/index.made_of.json",
    log:
        "logs/report.log",
    benchmark:
        "logs/benchmarks/report.tsv"
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
        gpu=0,
    shell:
        "python -m expressway report --out {output.page:q} > {log:q} 2>&1"


rule dataset_report:
    """Write what was found in one data set: for videos without labels or models, too."""
    input:
        ancient(targets.settled("dataset_report")),
        targets.pending("dataset_report"),
    output:
        page="results/{dataset}/report/index.html",
        made_of="results/{dataset}/report/index.made_of.json",
    log:
        "logs/{dataset}/report.log",
    benchmark:
        "logs/benchmarks/{dataset}/report.tsv"
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
        gpu=0,
    shell:
        "python -m expressway report --dataset {wildcards.dataset:q}"
        " --out {output.page:q} > {log:q} 2>&1"
