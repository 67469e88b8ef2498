"""Results of all protocols for a report, measured and compared by the real evaluation."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from report_world import LABELS, World

from expressway.core.store import write_table
from expressway.models import evaluation

CLIPS, SUBJECTS = 160, 20
KNOWN = {"open-00": LABELS[:2], "open-01": LABELS[1:3], "open-02": LABELS[2:]}
RATERS = ["severity_rater_1", "severity_rater_2"]
SCHEMA = pa.schema(
    [
        *(pa.field(n, pa.string()) for n in ("clip_id", "subject", "split", "label", "prediction")),
        pa.field("scores", pa.list_(pa.float32())),
        pa.field("known_score", pa.float32()),
        pa.field("targets", pa.list_(pa.float32())),
        pa.field("status", pa.string()),
    ]
)


def write_result(
    world: World, model: str, split: str, rows: list[dict[str, Any]], **facts: Any
) -> Path:
    """Write the predictions of one run and its real metrics; return the folder."""
    name = str(facts["evaluation"])
    folder = world.root / f"results/evaluations/{model}/{split}-seed0/{name}"
    footer = {
        "model": model, "method": model, "split": split, "seed": 0, "dataset": world.name,
        "task": "emotion", "prompts": None, "labels": LABELS, "all_labels": LABELS,
        "unknown_labels": [], "held_out": [], "targets": [], "threshold": None,
        "parameters": {"trainable": 8193, "total": 151277313}, "selection": "last epoch", **facts,
    }  # fmt: skip
    shared = {"split": split, "status": "ok"}
    table = pa.Table.from_pylist([{**shared, **row} for row in rows], SCHEMA)
    write_table(folder / "predictions.parquet", table, footer)
    evaluation.evaluate(folder / "predictions.parquet", folder / "metrics.json")
    world.evaluations.append(folder)
    return folder


def people(random: np.random.Generator) -> list[dict[str, Any]]:
    """Clips of twenty people, four labels; one clip in forty was lost."""
    return [
        {"clip_id": f"p{i:03d}", "subject": f"s{i % SUBJECTS}", "label": LABELS[i % 4],
         "status": "no_face" if i % 40 == 39 else "ok"}
        for i in range(CLIPS)
    ]  # fmt: skip


def write_open_set(world: World, model: str, skill: float, seed: int, **facts: Any) -> list[Path]:
    """Three class splits of the same clips; ``skill`` lifts the scores of known clips."""
    folders = []
    for number, (split, known) in enumerate(KNOWN.items()):
        random = np.random.default_rng([seed, number])
        unseen = [label for label in LABELS if label not in known]
        rows = []
        for row in people(random):
            is_known = row["label"] in known
            right = is_known and random.random() < 0.6 + 0.2 * skill
            guess = row["label"] if right else known[random.integers(len(known))]
            score = random.normal(skill * is_known + 3 * number, 1)
            lost = row["status"] != "ok"
            rows.append({**row, "prediction": None if lost else guess,
                         "known_score": None if lost else score})  # fmt: skip
        footer = {"evaluation": "open", "protocol": "open_set", "labels": known,
                  "unknown_labels": unseen, "threshold": 3 * number - 0.5}  # fmt: skip
        folders.append(write_result(world, model, split, rows, **{**footer, **facts}))
    return folders


def write_left_out(world: World, model: str, share: float, seed: int) -> list[Path]:
    """Two runs, each without a class; ``share`` of the unseen class is found all the same."""
    folders = []
    for label in LABELS[:2]:
        random = np.random.default_rng([seed, LABELS.index(label)])
        rows = []
        for row in people(random):
            right = random.random() < (share if row["label"] == label else 0.7)
            guess = row["label"] if right else LABELS[random.integers(4)]
            rows.append({**row, "prediction": guess if row["status"] == "ok" else None})
        footer = {"evaluation": "without", "protocol": "leave_one_out", "held_out": [label]}
        folders.append(write_result(world, model, f"without-{label}", rows, **footer))
    return folders


def write_numbers(world: World, model: str, noise: float, seed: int) -> list[Path]:
    """Two folds of people whose severity two raters judged."""
    random = np.random.default_rng(seed)
    severity = {f"s{i}": value for i, value in enumerate(random.uniform(1, 6, SUBJECTS))}
    judged = np.random.default_rng(0).normal(0, 0.4, (SUBJECTS, 2))
    folders = []
    for fold in (0, 1):
        rows = []
        for row in people(random):
            person = int(row["subject"][1:])
            if person % 2 != fold:
                continue
            true = severity[row["subject"]]
            guess = 1.2 + 0.6 * true + random.normal(0, noise, 2)
            rows.append({**row, "label": None, "targets": list(true + judged[person]),
                         "scores": list(guess) if row["status"] == "ok" else None})  # fmt: skip
        footer = {"evaluation": "severity", "protocol": "regression", "targets": RATERS,
                  "labels": RATERS}  # fmt: skip
        folders.append(write_result(world, model, f"fold{fold}", rows, **footer))
    return folders


def write_protocols(world: World) -> Mapping[str, list[list[Path]]]:
    """Two models under every protocol but the recalls of classes, each pair compared."""
    pairs = {
        "open": [write_open_set(world, "hesp", 1.6, 1), write_open_set(world, "arpl", 0.7, 2)],
        "without": [
            write_left_out(world, "emoclip", 0.5, 1),
            write_left_out(world, "vclip", 0.1, 2),
        ],
        "severity": [
            write_numbers(world, "emoclip", 0.6, 1),
            write_numbers(world, "linear", 1.5, 1),
        ],
    }
    for name, sides in pairs.items():
        out = world.root / f"results/comparisons/{name}.json"
        files = [[folder / "predictions.parquet" for folder in side] for side in sides]
        evaluation.compare(files[0], files[1], out)
        world.comparisons.append(out)
    return pairs
