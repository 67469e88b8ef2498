"""The demo's methods against their baselines on a world that nobody has tuned on.

Run: make bench-demo, or python benchmarks/demo_methods.py [--world 4001] [--seeds 5] [--cores 2]

Makes a demo world of another seed than the one that ships, trains every model of the demo's
configuration with several training seeds (and FineCLIPER's four variants), and prints mean ±
standard deviation over seeds, then paired bootstrap differences over the same test clips: first
over clips, then over subjects. The work lies in state/bench-demo and goes on where it stopped.
"""

import argparse
import copy
import csv
import json
import subprocess
from pathlib import Path
from typing import Any

import yaml

from expressway.data import demo
from expressway.reporting.results import SHORT_NAMES, is_share

ROOT = Path(__file__).resolve().parents[1]
LINKED = (
    *("Snakefile", "workflow", "profiles", "data/demo"),
    *("config/prompts", "config/tables"),
)
CUES = {"fusion": "fixed", "frames_loss": 1.0}
VARIANTS = {
    "finecliper-plain": {"modalities": ["frames"]},
    "finecliper-star": {
        **CUES,
        "modalities": ["frames", "parsing", "landmarks"],
        "first_weight": 0.6,
        "epochs": 6,
    },
    "finecliper-dagger": {**CUES, "modalities": ["frames", "captions"], "first_weight": 0.9},
    "finecliper-all": {
        **CUES,
        "modalities": ["frames", "parsing", "landmarks", "captions"],
        "first_weight": 0.7,
        "epochs": 6,
    },
}
ZERO_SHOT = [("emoclip", "clip"), ("expclip", "clip"), ("emoclip", "expclip")]
SUPERVISED = [(name, other) for name in VARIANTS for other in ("linear", "clip-fold")]
METRICS = (
    *("unweighted_average_recall", "weighted_average_recall", "auroc", "oscr", "accuracy"),
    *("held_out_recall", "seen_unweighted_average_recall"),
    *("pearson_correlation", "concordance_correlation", "mean_absolute_error"),
)
# the demo has no time for all folds of these
ALL_FOLDS = ("expclip", "linear-scores", "emoclip-scores")
OPEN_SET = [("hesp", other) for other in ("clip-softmax", "clip-logit", "arpl")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--world", type=int, default=4001, help="seed of the world")
    parser.add_argument("--clips", type=int, default=demo.DEFAULT_CLIPS)
    parser.add_argument("--seeds", type=int, default=5, help="training seeds")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=ROOT / "state/bench-demo")
    options = parser.parse_args()
    folder = options.folder / f"world-{options.world}"
    lay_out(folder, options.world, options.clips, options.seeds)
    command = ["snakemake", "--cores", str(options.cores), "--quiet", "all"]
    subprocess.run(command, cwd=folder, check=True)
    print_table(folder)
    print_comparisons(folder)


def lay_out(folder: Path, world: int, clips: int, seeds: int) -> None:
    """Make a project folder like the repository's, with another world and more seeds."""
    for name in LINKED:
        link = folder / name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.symlink_to(ROOT / name)
    demo.write_manifest(folder / "data/bench", clips, world)
    described = yaml.safe_load((ROOT / "config/datasets/demo.yaml").read_text())
    described |= {
        "manifest": "data/bench/manifest.csv",
        "splits": "data/bench/splits.csv",
        "root": "data/bench",
        "demo_seed": world,
    }
    (folder / "config/datasets").mkdir(exist_ok=True)
    write(folder / "config/datasets/bench.yaml", described)
    ours = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    write(folder / "config/config.yaml", configuration(ours, seeds))


def write(path: Path, values: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(values, sort_keys=False))


def configuration(ours: dict[str, Any], seeds: int) -> dict[str, Any]:
    """The demo's configuration on the other world, with training seeds and the four variants."""
    made = copy.deepcopy(ours)
    made["datasets"] = ["bench"]
    made["report"] = {"title": "Methods on a world nobody tuned on", "thumbnails": True}
    models, evaluations = made["models"], made["evaluations"]
    shared = models.pop("finecliper")
    for name in ALL_FOLDS:
        del models[name]["splits"]
    # what else the demo shows on a single split would say little over seeds
    for name in [name for name, model in models.items() if len(model.get("splits", ())) == 1]:
        del models[name]
    for evaluation in evaluations.values():
        evaluation["models"] = [name for name in evaluation["models"] if name in models]
    for name, changes in VARIANTS.items():
        models[name] = {**shared, "recipe": {**shared["recipe"], **changes}}
    models["hesp"]["recipe"]["frames"] = 8  # the paper's; the demo has no time for more than 4
    for entry in (*models.values(), *evaluations.values()):
        entry["dataset"] = "bench"
    for model in models.values():
        if model["method"] != "clip":
            model["seeds"] = list(range(seeds))
    # CLIP on the supervised test clips, by the same class texts as in the zero-shot rows
    models["clip-fold"] = {**models["clip"], "scheme": shared["scheme"]}
    if "splits" in shared:
        models["clip-fold"]["splits"] = shared["splits"]
        models["linear"]["splits"] = shared["splits"]
    supervised = evaluations["supervised"]
    supervised["models"] = ["linear", *VARIANTS]
    texts = {**evaluations["descriptions"], "models": ["clip-fold"]}
    evaluations["texts"] = texts
    made["comparisons"] = [
        *pairs(ZERO_SHOT, "descriptions"),
        *({"a": f"{a}/supervised", "b": f"{b}/{against(b)}"} for a, b in SUPERVISED),
        *pairs(OPEN_SET, "open"),
    ]
    return made


def pairs(names: list[tuple[str, str]], evaluation: str) -> list[dict[str, str]]:
    return [{"a": f"{a}/{evaluation}", "b": f"{b}/{evaluation}"} for a, b in names]


def against(model: str) -> str:
    return "texts" if model == "clip-fold" else "supervised"


def print_table(folder: Path) -> None:
    with (folder / "results/tables/results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    print(f"\n{'model':<18} {'evaluation':<13} mean ± std over splits and seeds; shares in %")
    for row in rows:
        shown = [
            f"{SHORT_NAMES[name]} {told(row, name)}" for name in METRICS if row[f"{name}_mean"]
        ]
        print(f"{row['model']:<18} {row['evaluation']:<13} {'; '.join(shown)}")


def told(row: dict[str, str], metric: str) -> str:
    scale, digits = (100, 1) if is_share(metric) else (1, 2)
    both = [float(row[f"{metric}_{name}"] or "nan") * scale for name in ("mean", "std")]
    return " ± ".join(f"{value:.{digits}f}" for value in both if value == value)


def print_comparisons(folder: Path) -> None:
    print("\npaired differences in points, 95 % intervals over clips and over subjects")
    for path in sorted((folder / "results/comparisons").glob("*.json")):
        read = json.loads(path.read_text())
        for one in read if isinstance(read, list) else [read]:
            low, high = (points(one[name]) for name in ("interval_clips", "interval_subjects"))
            print(
                f"{one['a']:<28} - {one['b']:<22} {SHORT_NAMES[one['metric']]:<6}"
                f" {100 * one['difference']:+5.1f} {low} {high}"
            )


def points(interval: list[float] | None) -> str:
    if not interval or None in interval:
        return "[no interval]"
    return f"[{100 * interval[0]:+.1f}, {100 * interval[1]:+.1f}]"


if __name__ == "__main__":
    main()
