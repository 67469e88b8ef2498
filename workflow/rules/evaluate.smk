"""Evaluation: predictions need the model, metrics need only the predictions.

REQUIRES  trained models; the test data's stores
MAKES     results/evaluations/{model}/{split}-seed{seed}/{evaluation}/predictions.parquet,
          metrics.json; results/comparisons/{a}--{b}.json
"""


rule predict:
    """Score the test clips of one evaluation with one trained model."""
    input:
        ancient(targets.settled("predict")),
        targets.pending("predict"),
    output:
        "results/evaluations/{model}/{split}-seed{seed}/{evaluation}/predictions.parquet",
    log:
        "logs/evaluations/{model}/{split}-seed{seed}/{evaluation}.predict.log",
    benchmark:
        "logs/benchmarks/evaluations/{model}/{split}-seed{seed}/{evaluation}.predict.tsv"
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=120,
        gpu=0,
    shell:
        "python -m expressway predict-part {wildcards.model:q} {wildcards.evaluation:q}"
        " --split {wildcards.split:q} --seed {wildcards.seed:q}"
        " --cores {threads} --gpus {resources.gpu} > {log:q} 2>&1"


rule evaluate:
    """Turn predictions into metrics with intervals."""
    input:
        ancient(targets.settled("evaluate")),
        targets.pending("evaluate"),
    output:
        metrics="results/evaluations/{model}/{split}-seed{seed}/{evaluation}/metrics.json",
        made_of="results/evaluations/{model}/{split}-seed{seed}/{evaluation}/metrics.made_of.json",
    log:
        "logs/evaluations/{model}/{split}-seed{seed}/{evaluation}.log",
    benchmark:
        "logs/benchmarks/evaluations/{model}/{split}-seed{seed}/{evaluation}.tsv"
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
        gpu=0,
    shell:
        "python -m expressway evaluate {wildcards.model:q} {wildcards.evaluation:q}"
        " --split {wildcards.split:q} --seed {wildcards.seed:q}"
        " > {log:q} 2>&1"


rule compare:
    """Compare two results on the same clips with a paired bootstrap."""
    input:
        ancient(targets.settled("compare")),
        targets.pending("compare"),
    output:
        comparison="results/comparisons/{model}.{evaluation}--{other}.{another}.json",
        made_of="results/comparisons/{model}.{evaluation}--{other}.{another}.made_of.json",
    log:
        "logs/comparisons/{model}.{evaluation}--{other}.{another}.log",
    benchmark:
        "logs/benchmarks/comparisons/{model}.{evaluation}--{other}.{another}.tsv"
    wildcard_constraints:
        other=r"[A-Za-z0-9][A-Za-z0-9_-]*",
        another=r"[A-Za-z0-9][A-Za-z0-9_-]*",
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
        gpu=0,
    shell:
        "python -m expressway compare {wildcards.model:q}/{wildcards.evaluation:q}"
        " {wildcards.other:q}/{wildcards.another:q} > {log:q} 2>&1"
