"""The stages of preparation, one shard a job.

REQUIRES  data/{dataset}/manifest.csv and the files that it names
MAKES     results/{dataset}/{stage}/{variant}/{shard}.parquet, coverage.json beside the shards
A clip that fails is a row with a status; a job fails only for faults of the machine.
Shards go before trainings (priority), so that no long training is left to run alone at the end.
"""


rule frames:
    """Decode the kept frames of every clip, with the facts of its source."""
    input:
        graph.inputs_of("frames"),
    output:
        "results/{dataset}/frames/{variant}/{shard}.parquet",
    log:
        "logs/{dataset}/frames/{variant}/{shard}.log",
    benchmark:
        "logs/benchmarks/{dataset}/frames/{variant}/{shard}.tsv"
    priority: 1
    conda:
        "../../envs/media.yaml"
    threads: graph.shard_threads(workflow.resource_settings.cores)
    resources:
        mem_mb=2000,
        runtime=120,
        gpu=0,
    params:
        expect=graph.expected("frames"),
    shell:
        "python -m expressway stage frames --dataset {wildcards.dataset:q}"
        " --variant {wildcards.variant:q} --shard {wildcards.shard:q} --cores {threads}"
        " --gpus {resources.gpu} --expect {params.expect:q} > {log:q} 2>&1"


rule faces:
    """Find, track and align one face per clip."""
    input:
        graph.inputs_of("faces"),
    output:
        "results/{dataset}/faces/{variant}/{shard}.parquet",
    log:
        "logs/{dataset}/faces/{variant}/{shard}.log",
    benchmark:
        "logs/benchmarks/{dataset}/faces/{variant}/{shard}.tsv"
    priority: 1
    conda:
        "../../envs/faces.yaml"
    threads: graph.shard_threads(workflow.resource_settings.cores)
    resources:
        mem_mb=2000,
        runtime=240,
        gpu=0,
    params:
        expect=graph.expected("faces"),
    shell:
        "python -m expressway stage faces --dataset {wildcards.dataset:q}"
        " --variant {wildcards.variant:q} --shard {wildcards.shard:q} --cores {threads}"
        " --gpus {resources.gpu} --expect {params.expect:q} > {log:q} 2>&1"


rule landmarks:
    """Place 68 points (and the dense mesh) on every aligned face."""
    input:
        graph.inputs_of("landmarks"),
    output:
        "results/{dataset}/landmarks/{variant}/{shard}.parquet",
    log:
        "logs/{dataset}/landmarks/{variant}/{shard}.log",
    benchmark:
        "logs/benchmarks/{dataset}/landmarks/{variant}/{shard}.tsv"
    priority: 1
    conda:
        "../../envs/faces.yaml"
    threads: graph.shard_threads(workflow.resource_settings.cores)
    resources:
        mem_mb=2000,
        runtime=120,
        gpu=0,
    params:
        expect=graph.expected("landmarks"),
    shell:
        "python -m expressway stage landmarks --dataset {wildcards.dataset:q}"
        " --variant {wildcards.variant:q} --shard {wildcards.shard:q} --cores {threads}"
        " --gpus {resources.gpu} --expect {params.expect:q} > {log:q} 2>&1"


rule parsing:
    """Say for every pixel of every aligned face which part it is."""
    input:
        graph.inputs_of("parsing"),
    output:
        "results/{dataset}/parsing/{variant}/{shard}.parquet",
    log:
        "logs/{dataset}/parsing/{variant}/{shard}.log",
    benchmark:
        "logs/benchmarks/{dataset}/parsing/{variant}/{shard}.tsv"
    priority: 1
    conda:
        "../../envs/language.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=240,
        gpu=0,
    params:
        expect=graph.expected("parsing"),
    shell:
        "python -m expressway stage parsing --dataset {wildcards.dataset:q}"
        " --variant {wildcards.variant:q} --shard {wildcards.shard:q} --cores {threads}"
        " --gpus {resources.gpu} --expect {params.expect:q} > {log:q} 2>&1"


rule captions:
    """Put the face of every clip into words, raw and refined."""
    input:
        graph.inputs_of("captions"),
    output:
        "results/{dataset}/captions/{variant}/{shard}.parquet",
    log:
        "logs/{dataset}/captions/{variant}/{shard}.log",
    benchmark:
        "logs/benchmarks/{dataset}/captions/{variant}/{shard}.tsv"
    priority: 1
    conda:
        "../../envs/language.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=720,
        gpu=0,
    params:
        expect=graph.expected("captions"),
    shell:
        "python -m expressway stage captions --dataset {wildcards.dataset:q}"
        " --variant {wildcards.variant:q} --shard {wildcards.shard:q} --cores {threads}"
        " --gpus {resources.gpu} --expect {params.expect:q} > {log:q} 2>&1"


rule visual_features:
    """Encode every aligned face with a frozen CLIP image tower."""
    input:
        graph.inputs_of("visual_features"),
    output:
        "results/{dataset}/visual_features/{variant}/{shard}.parquet",
    log:
        "logs/{dataset}/visual_features/{variant}/{shard}.log",
    benchmark:
        "logs/benchmarks/{dataset}/visual_features/{variant}/{shard}.tsv"
    priority: 1
    conda:
        "../../envs/language.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=240,
        gpu=0,
    params:
        expect=graph.expected("visual_features"),
    shell:
        "python -m expressway stage visual_features --dataset {wildcards.dataset:q}"
        " --variant {wildcards.variant:q} --shard {wildcards.shard:q} --cores {threads}"
        " --gpus {resources.gpu} --expect {params.expect:q} > {log:q} 2>&1"


rule attention:
    """Find where on every face CLIP sees the expression."""
    input:
        graph.inputs_of("attention"),
    output:
        "results/{dataset}/attention/{variant}/{shard}.parquet",
    log:
        "logs/{dataset}/attention/{variant}/{shard}.log",
    benchmark:
        "logs/benchmarks/{dataset}/attention/{variant}/{shard}.tsv"
    priority: 1
    conda:
        "../../envs/language.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=240,
        gpu=0,
    params:
        expect=graph.expected("attention"),
    shell:
        "python -m expressway stage attention --dataset {wildcards.dataset:q}"
        " --variant {wildcards.variant:q} --shard {wildcards.shard:q} --cores {threads}"
        " --gpus {resources.gpu} --expect {params.expect:q} > {log:q} 2>&1"


rule text_embeddings:
    """Encode every caption with a frozen text tower."""
    input:
        graph.inputs_of("text_embeddings"),
    output:
        "results/{dataset}/text_embeddings/{variant}/{shard}.parquet",
    log:
        "logs/{dataset}/text_embeddings/{variant}/{shard}.log",
    benchmark:
        "logs/benchmarks/{dataset}/text_embeddings/{variant}/{shard}.tsv"
    priority: 1
    conda:
        "../../envs/language.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
        gpu=0,
    params:
        expect=graph.expected("text_embeddings"),
    shell:
        "python -m expressway stage text_embeddings --dataset {wildcards.dataset:q}"
        " --variant {wildcards.variant:q} --shard {wildcards.shard:q} --cores {threads}"
        " --gpus {resources.gpu} --expect {params.expect:q} > {log:q} 2>&1"


rule teacher_embeddings:
    """Encode what the teacher of Exp-CLIP sees or reads."""
    input:
        graph.inputs_of("teacher_embeddings"),
    output:
        "results/{dataset}/teacher_embeddings/{variant}/{shard}.parquet",
    log:
        "logs/{dataset}/teacher_embeddings/{variant}/{shard}.log",
    benchmark:
        "logs/benchmarks/{dataset}/teacher_embeddings/{variant}/{shard}.tsv"
    priority: 1
    conda:
        "../../envs/language.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=720,
        gpu=0,
    params:
        expect=graph.expected("teacher_embeddings"),
    shell:
        "python -m expressway stage teacher_embeddings --dataset {wildcards.dataset:q}"
        " --variant {wildcards.variant:q} --shard {wildcards.shard:q} --cores {threads}"
        " --gpus {resources.gpu} --expect {params.expect:q} > {log:q} 2>&1"


rule coverage:
    """Count what a store lost and why; stop here when it is more than the data set allows."""
    input:
        graph.shards_of,
    output:
        "results/{dataset}/{stage}/{variant}/coverage.json",
    log:
        "logs/{dataset}/{stage}/{variant}/coverage.log",
    benchmark:
        "logs/benchmarks/{dataset}/{stage}/{variant}/coverage.tsv"
    priority: 1
    conda:
        "../../envs/media.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=30,
        gpu=0,
    params:
        allowed=graph.allowed_loss,
    shell:
        "python -m expressway coverage {wildcards.stage:q}"
        " --dataset {wildcards.dataset:q} --variant {wildcards.variant:q} > {log:q} 2>&1"
