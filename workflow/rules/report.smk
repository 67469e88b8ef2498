"""What people read.

REQUIRES  metrics, comparisons, coverage
MAKES     results/report/index.html, results/tables/{results,TABLE}.*,
          results/{dataset}/report/index.html
"""


rule tables:
    """Write the results as csv, md, html and tex."""
    input:
        graph.metrics_paths(),
    output:
        multiext("results/tables/results", ".csv", ".md", ".html", ".tex"),
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
    params:
        code=graph.report_code,
    shell:
        "python -m expressway table results > {log:q} 2>&1"


rule published_table:
    """Write one of the tables in config/tables beside the paper's numbers."""
    input:
        graph.table_inputs,
        "config/tables/published.csv",
    output:
        multiext("results/tables/{table}", ".csv", ".md", ".html", ".tex"),
    log:
        "logs/tables/{table}.log",
    benchmark:
        "logs/benchmarks/tables/{table}.tsv"
    wildcard_constraints:
        table=graph.table_pattern,
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
        gpu=0,
    params:
        expect=graph.expected_table,
    shell:
        "python -m expressway table {wildcards.table:q} > {log:q} 2>&1"


rule report:
    """Write the report: one page that needs nothing else."""
    input:
        graph.report_inputs(),
        graph.dataset_coverage(),
        "results/tables/results.csv",
    output:
        report("results/report/index.html", category="Report"),
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
    params:
        code=graph.report_code,
    shell:
        "python -m expressway report --out {output:q} > {log:q} 2>&1"


rule dataset_report:
    """Write what was found in one data set: for videos without labels or models, too."""
    input:
        graph.coverage_of,
    output:
        "results/{dataset}/report/index.html",
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
    params:
        code=graph.report_code,
    shell:
        "python -m expressway report --dataset {wildcards.dataset:q}"
        " --out {output:q} > {log:q} 2>&1"
