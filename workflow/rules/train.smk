"""Training: one job per model, split and seed.

REQUIRES  the stores that the method reads, and their coverage
MAKES     results/models/{model}/{split}-seed{seed}/model.safetensors, model.json
Training state lives in state/models/, outside declared outputs: an interrupted job goes on.
"""


rule train:
    """Train a method on the training part of one split."""
    input:
        ancient(targets.settled("train")),
        targets.pending("train"),
    output:
        weights="results/models/{model}/{split}-seed{seed}/model.safetensors",
        card="results/models/{model}/{split}-seed{seed}/model.json",
    log:
        "logs/models/{model}/{split}-seed{seed}.log",
    benchmark:
        "logs/benchmarks/models/{model}/{split}-seed{seed}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=720,
        gpu=0,
        precision="32-true",
    params:
        launcher=targets.training_launcher,
        machine=targets.training_machine,
    shell:
        "{params.launcher:q} python -m expressway train {wildcards.model:q}"
        " --split {wildcards.split:q} --seed {wildcards.seed:q} {params.machine:q}"
        " --precision {resources.precision:q} > {log:q} 2>&1"
