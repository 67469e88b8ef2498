"""Every path under ``results/``, spelt once; patterns in braces are Snakemake's wildcards."""

from pathlib import Path

RESULTS = Path("results")
STATE = Path("state")
BENCHMARKS = Path("logs/benchmarks")


def store(dataset: str, stage: str, variant: str) -> str:
    """Return the folder of a store."""
    return f"{RESULTS}/{dataset}/{stage}/{variant}"


def shard(dataset: str, stage: str, variant: str, shard: str) -> str:
    """Return one shard table of a store."""
    return f"{store(dataset, stage, variant)}/{shard}.parquet"


def coverage(dataset: str, stage: str, variant: str) -> str:
    """Return the coverage of a store: beside the stores, since it outlives them."""
    return f"{RESULTS}/{dataset}/coverage/{stage}/{variant}.json"


def journal(dataset: str, stage: str, variant: str, shard: str) -> str:
    """Return the journal of a shard of an expensive stage."""
    return f"{STATE}/journal/{dataset}/{stage}/{variant}/{shard}.sqlite"


def truth(root: Path | str, shard: str) -> str:
    """Return the demo world's ground truth for one shard, written after its clips."""
    return f"{root}/clips/{shard}.truth.parquet"


def run(split: str, seed: int | str) -> str:
    """Return the name of a training run."""
    return f"{split}-seed{seed}"


def model(name: str, split: str, seed: int | str) -> str:
    """Return the folder of one trained model."""
    return f"{RESULTS}/models/{name}/{run(split, seed)}"


def weights(name: str, split: str, seed: int | str) -> str:
    """Return the weights of one trained model."""
    return f"{model(name, split, seed)}/model.safetensors"


def card(name: str, split: str, seed: int | str) -> str:
    """Return the card of one trained model, written after its weights."""
    return f"{model(name, split, seed)}/model.json"


def training_state(name: str, split: str, seed: int | str) -> str:
    """Return the folder of checkpoints, outside declared outputs: Snakemake deletes those."""
    return f"{STATE}/models/{name}/{run(split, seed)}"


def evaluation(name: str, split: str, seed: int | str, evaluation: str) -> str:
    """Return the folder of one model's results under one evaluation."""
    return f"{RESULTS}/evaluations/{name}/{run(split, seed)}/{evaluation}"


def predictions(name: str, split: str, seed: int | str, evaluation_name: str) -> str:
    """Return the scores of one model for the test clips of one evaluation."""
    return f"{evaluation(name, split, seed, evaluation_name)}/predictions.parquet"


def metrics(name: str, split: str, seed: int | str, evaluation_name: str) -> str:
    """Return what the scores come to."""
    return f"{evaluation(name, split, seed, evaluation_name)}/metrics.json"


def comparison(model: str, evaluation: str, other: str, another: str) -> str:
    """Return the paired comparison of two results."""
    return f"{RESULTS}/comparisons/{model}.{evaluation}--{other}.{another}.json"


def table(name: str, suffix: str = "html") -> str:
    """Return one form of a table."""
    return f"{RESULTS}/tables/{name}.{suffix}"


def report(dataset: str | None = None) -> str:
    """Return the report on everything, or on one data set."""
    return f"{RESULTS}/{dataset}/report/index.html" if dataset else f"{RESULTS}/report/index.html"


def stores_done(dataset: str) -> str:
    """Return the mark that all stores of a data set were made."""
    return f"{RESULTS}/{dataset}/stores.done"
