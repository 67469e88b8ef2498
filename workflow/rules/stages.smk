"""The stages of preparation, one shard a job; each stage declares its own (src/expressway/stages).

REQUIRES  data/{dataset}/manifest.csv and the files that it names
MAKES     results/{dataset}/{stage}/{variant}/{shard}.parquet
          results/{dataset}/coverage/{stage}/{variant}.json
A clip that fails is a row with a status; a job fails only for faults of the machine.
Rows that a shard holds already are taken over, so the file stays until it is replaced (update).
Shards go before trainings (priority), so that no long training is left to run alone at the end.
"""

for stage in targets.stages:

    rule:
        name:
            stage.name
        input:
            ancient(targets.settled(stage.name)),
            targets.pending(stage.name),
        output:
            update(f"results/{{dataset}}/{stage.name}/{{variant}}/{{shard}}.parquet"),
        log:
            f"logs/{{dataset}}/{stage.name}/{{variant}}/{{shard}}.log",
        benchmark:
            f"logs/benchmarks/{{dataset}}/{stage.name}/{{variant}}/{{shard}}.tsv"
        priority: 1
        conda:
            f"../../envs/{stage.environment}.yaml"
        threads: targets.threads(stage.name, workflow.resource_settings.cores)
        resources:
            mem_mb=stage.memory_mb,
            runtime=stage.minutes,
            gpu=0,
        params:
            stage=stage.name,
            expect=targets.expected(stage.name),
        shell:
            "python -m expressway stage {params.stage:q} --dataset {wildcards.dataset:q}"
            " --variant {wildcards.variant:q} --shard {wildcards.shard:q} --cores {threads}"
            " --gpus {resources.gpu} --expect {params.expect:q} > {log:q} 2>&1"

    workflow.get_rule(stage.name).docstring = stage.summary


rule coverage:
    """Count what a store lost and why; stop here when it is more than the data set allows."""
    input:
        ancient(targets.settled("coverage")),
        targets.pending("coverage"),
    output:
        coverage=update("results/{dataset}/coverage/{stage}/{variant}.json"),
        made_of="results/{dataset}/coverage/{stage}/{variant}.made_of.json",
    log:
        "logs/{dataset}/coverage/{stage}/{variant}.log",
    benchmark:
        "logs/benchmarks/{dataset}/coverage/{stage}/{variant}.tsv"
    priority: 1
    conda:
        "../../envs/media.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=30,
        gpu=0,
    shell:
        "python -m expressway coverage {wildcards.stage:q}"
        " --dataset {wildcards.dataset:q} --variant {wildcards.variant:q} > {log:q} 2>&1"
