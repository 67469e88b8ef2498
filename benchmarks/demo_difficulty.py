"""How hard the demo world is for its frozen backbone, over worlds never used in development.

Prints one row per world seed: unweighted average recall over the eight emotions of zero-shot CLIP
with class names, of zero-shot CLIP with descriptions, of a linear probe on frame-mean features
over identity-disjoint folds, and of the same probe on shuffled labels (chance is 0.125).

    python benchmarks/demo_difficulty.py [--seeds 101 102 103] [--clips 440] [--backbone FOLDER]
"""

import argparse
from pathlib import Path

import numpy as np
import torch
import yaml
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from expressway.data.demo import lessons, world
from expressway.data.demo.face import draw
from expressway.data.demo.units import EMOTIONS

NAMED = ("names", "expression", "face", "ensemble")
FRAME_STEP = 3


def main() -> None:
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[101, 102, 103])
    parser.add_argument("--clips", type=int, default=440)
    parser.add_argument("--backbone", type=Path, default=Path("data/demo/backbone"))
    parser.add_argument("--prompts", type=Path, default=Path("config/prompts/classes.yaml"))
    options = parser.parse_args()
    tower = Tower(options.backbone)
    prompts = yaml.safe_load(options.prompts.read_text())
    columns = [*NAMED, "descriptions", "probe", "shuffled"]
    print("seed  " + "  ".join(f"{name:>12}" for name in columns))
    for seed in options.seeds:
        found = difficulty(tower, prompts, seed, options.clips)
        print(f"{seed:<5} " + "  ".join(f"{found[name]:12.3f}" for name in columns), flush=True)


class Tower:
    """The backbone as open_clip loads it."""

    def __init__(self, folder: Path) -> None:
        import open_clip

        where = f"local-dir:{folder}"
        self.model, _, _ = open_clip.create_model_and_transforms(where)
        self.tokenise = open_clip.get_tokenizer(where)
        self.model.float().eval()

    @torch.no_grad()
    def see(self, images: np.ndarray) -> torch.Tensor:
        """Unit vectors (n, dimensions) of crops (n, 64, 64, 3)."""
        from expressway.data.demo.backbone import normalised

        return torch.nn.functional.normalize(
            self.model.encode_image(normalised(torch.from_numpy(images))), dim=-1
        )

    @torch.no_grad()
    def read(self, texts: list[str]) -> torch.Tensor:
        """Mean of unit vectors of the texts, again a unit vector."""
        vectors = torch.nn.functional.normalize(
            self.model.encode_text(self.tokenise(texts)), dim=-1
        )
        return torch.nn.functional.normalize(vectors.mean(0), dim=-1)


def difficulty(tower: Tower, prompts: dict, seed: int, clips: int) -> dict[str, float]:
    """All recalls of one world."""
    numbers = [n for n in range(clips) if world.kind_of(seed, n) in EMOTIONS]
    truth = np.array([EMOTIONS.index(world.kind_of(seed, n)) for n in numbers])
    folds = np.array([world.fold_of(world.subject_of(seed, n)) for n in numbers])
    means = torch.stack([tower.see(crops(seed, n)).mean(0) for n in numbers])
    found = {}
    for name in (*NAMED, "descriptions"):
        classes = torch.stack([tower.read(texts(prompts[name], label)) for label in EMOTIONS])
        found[name] = balanced_accuracy_score(truth, (means @ classes.T).argmax(1).numpy())
    shuffled = np.random.default_rng(seed).permutation(truth)
    found["probe"] = probe(means.numpy(), truth, folds)
    found["shuffled"] = probe(means.numpy(), shuffled, folds)
    return found


def crops(seed: int, number: int) -> np.ndarray:
    """Aligned crops of every third frame of a clip."""
    shown = world.performance(seed, number)
    frames = range(0, len(shown.script), FRAME_STEP)
    drawn = [draw(shown.identity, shown.scene, shown.script.moment(frame)) for frame in frames]
    return np.stack([lessons.crop(None, image, points) for image, points in drawn])


def texts(prompt: dict, label: str) -> list[str]:
    """The sentences that stand for a label."""
    own = prompt.get("texts", {}).get(label)
    return own or [template.format(label=label) for template in prompt["templates"]]


def probe(features: np.ndarray, truth: np.ndarray, folds: np.ndarray) -> float:
    """Recall of a linear classifier, each fold predicted from the others."""
    predicted = np.empty_like(truth)
    for fold in np.unique(folds):
        test = folds == fold
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
        predicted[test] = model.fit(features[~test], truth[~test]).predict(features[test])
    return float(balanced_accuracy_score(truth, predicted))


if __name__ == "__main__":
    main()
