"""The demo world's clips, rendered shard by shard.

REQUIRES  data/{dataset}/manifest.csv, a data set with a demo_seed
MAKES     data/{dataset}/clips/: videos or stills, and {shard}.truth.parquet, written last
"""


rule render_demo:
    """Render the clips of one shard, with the action units that were drawn as ground truth."""
    input:
        targets.pending("render_demo"),
    output:
        "data/{dataset}/clips/{shard}.truth.parquet",
    log:
        "logs/{dataset}/render/{shard}.log",
    benchmark:
        "logs/benchmarks/{dataset}/render/{shard}.tsv"
    priority: 1
    conda:
        "../../envs/media.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=30,
        gpu=0,
    shell:
        "python -m expressway demo render --dataset {wildcards.dataset:q}"
        " --shard {wildcards.shard:q} --cores {threads} > {log:q} 2>&1"
