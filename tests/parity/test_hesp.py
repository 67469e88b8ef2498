"""HESP's fixtures L and S (docs/methods/hesp.md): losses and one training step, by number.

Fixture C is in tests/unit/data/test_patch_windows.py. The numbers come from the authors' code on
the same inputs.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from torch.nn import functional

from expressway.methods.base import Context
from expressway.methods.blocks.open_losses import (
    reciprocal_margin,
    reciprocal_scores,
    supervised_contrastive,
)
from expressway.methods.hesp.model import HESP, Recipe
from expressway.models.evaluation.metrics import open_set
from expressway.networks.backbones import Backbone
from expressway.networks.preprocessing import Preprocess

CLASSES = ("Angry", "Disgust", "Fear")
LABELS = torch.tensor([0, 1, 2, 0, 1, 2])
WINDOW = torch.tensor([100, 120])
SMALL_CLIP: dict[str, Any] = {
    "embed_dim": 512,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 224, "layers": 1, "width": 768, "patch_size": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 1},
}
# the authors' numbers are given to six decimals; theirs and our sums run in other orders
TOLERANCE = 1e-4


def normal(seed: int, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape)).float()


def close(found: Any, expected: Any) -> None:
    found = torch.as_tensor(found, dtype=torch.float64).detach()
    torch.testing.assert_close(
        found, torch.as_tensor(expected, dtype=torch.float64), rtol=TOLERANCE, atol=0
    )


class TestFixtureL:
    x, v = 0.5 * normal(1, (6, 512)), 0.5 * normal(2, (3, 512))
    y = torch.tensor([0, 1, 2, 0, 1, 0])

    def test_distances(self) -> None:
        scores = reciprocal_scores(self.x, self.v)
        close(scores[0], [4.658471, 2.327020, -1.797615])
        assert scores.argmax(1).tolist() == [0, 0, 0, 1, 1, 2]

    @pytest.mark.parametrize(("radius", "expected"), [(0.0, 3.539320), (0.7, 3.469321)])
    def test_negative_cross_entropy(self, radius: float, expected: float) -> None:
        entropy = functional.cross_entropy(reciprocal_scores(self.x, self.v), self.y)
        margin = reciprocal_margin(self.x, self.v[self.y], torch.tensor(radius))
        close(entropy + 0.1 * margin, expected)

    def test_contrastive(self) -> None:
        close(supervised_contrastive(self.x, self.y), 0.815842)
        close(supervised_contrastive(self.x, self.y, 0.1) / 0.1, 1.745703)


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    model = open_clip.CLIP(**SMALL_CLIP).eval().requires_grad_(False)
    model.load_state_dict(filled(model.state_dict()))
    return Backbone(
        name="small",
        model=model,
        tokenizer=open_clip.get_tokenizer("ViT-B-32"),
        preprocess=Preprocess(
            size=(224, 224),
            mean=(0.48145466, 0.4578275, 0.40821073),
            std=(0.26862954, 0.26130258, 0.27577711),
        ),
        weights=Path("none"),
        dim=512,
        text_width=512,
        context_length=77,
        logit_scale=math.log(100),
        device="cpu",
        precision="fp32",
    )


def filled(shapes: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights of the fixture: numbered by the sorted names, which are OpenAI's."""
    found = {
        name: 0.02 * normal(index, tuple(shapes[name].shape))
        for index, name in enumerate(sorted(shapes))
        if name != "logit_scale"
    }
    norms = [name for name in found if ".ln_" in f".{name}" and name.endswith("weight")]
    found |= {name: found[name] + 1 for name in norms}
    return {**found, "logit_scale": torch.tensor(math.log(100))}


def clips(base: torch.Tensor, detail: torch.Tensor | float = 0.0) -> torch.Tensor:
    """Frames (batch, 8, 3, 224, 224) of 7 x 7 maps, each value a square of 32 pixels."""
    maps = (0.5 + 0.25 * base + detail).clamp(0, 1)
    return maps.repeat_interleave(32, -1).repeat_interleave(32, -2)


FRAMES = clips(normal(7, (6, 1, 3, 7, 7)), 0.05 * normal(8, (6, 8, 3, 7, 7)))
STRANGERS = clips(normal(55, (4, 8, 3, 7, 7)))


def hesp(backbone: Backbone, published: bool) -> HESP:
    prompts = {name: (name,) for name in CLASSES}
    context = Context(512, CLASSES, "open_set", prompts, math.log(100), backbone)
    method = HESP(Recipe(published=published), context)
    state = {
        "contexts.context": 0.02 * normal(100, (3, 16, 512)),
        "patch": 0.1 * normal(101, (3, 56, 56)),
        "negative_images": normal(102, (3, 3, 224, 224)),
        "radius": torch.tensor(0.0),
    }
    method.load_state_dict(state | ({"position": WINDOW} if published else {}))
    return method


def terms(method: HESP) -> dict[str, torch.Tensor]:
    return method.terms(method.clip_vectors(FRAMES, WINDOW.expand(6, 2)), LABELS)


class TestFixtureS:
    def test_features_of_texts_and_negative_images(self, backbone: Backbone) -> None:
        method = hesp(backbone, published=False).eval()
        with torch.no_grad():
            close(method.contexts().norm(dim=-1), [10.291233, 10.679800, 10.168055])
            close(method.negative_texts.norm(dim=-1), [10.208568, 10.106835, 10.089161])
            close(method.encode_negatives().norm(dim=-1), [11.928699, 11.983750, 12.002424])

    def test_tokens_of_a_known_text(self, backbone: Backbone) -> None:
        ids = hesp(backbone, published=False).contexts.ids[0].tolist()
        # start, sixteen learned, "Angry", full stop, end, padding
        assert (ids[0], ids[17:20], set(ids[20:])) == (49406, [9054, 269, 49407], {0})
        assert len(ids) == 77

    def test_logits_without_the_patch(self, backbone: Backbone) -> None:
        method = hesp(backbone, published=False).eval()
        with torch.no_grad():
            method.patch.zero_()
            vectors = method.clip_vectors(FRAMES[:1], WINDOW[None])
            similar, _ = method.heads(vectors, *method._sides())
        close(similar[0], [3.264470, -1.493515, 1.802534])

    def test_losses_and_gradients(self, backbone: Backbone) -> None:
        method = hesp(backbone, published=False)
        # frozen in every mode; the authors leave it free and wipe its gradient
        logit_scale = torch.tensor(math.log(100), requires_grad=True)
        method.scale = logit_scale.exp()
        found = terms(method)
        total = torch.stack(list(found.values())).sum()
        close(torch.stack(list(found.values())), [2.196067, 0.804874, 1.265783, 1.245311, 1.571320])
        close(total, 7.083354)
        total.backward()
        close(method.contexts.context.grad.norm(), 84.424484)
        close(method.patch.grad.norm(), 0.119083)
        close(method.negative_images.grad.norm(), 0.144891)
        close(method.radius.grad.abs(), 0.1)
        close(logit_scale.grad.abs(), 2.711542)

    def test_the_released_step_and_its_test(self, backbone: Backbone) -> None:
        method = hesp(backbone, published=True)
        before = {name: value.clone() for name, value in method.state_dict().items()}
        torch.stack(list(terms(method).values())).sum().backward()
        method.optimiser().step()
        moved = {name: value - before[name] for name, value in method.state_dict().items()}
        close(moved["patch"].norm(), 50.0)
        close(moved["patch"].sum(), -9.203987)
        each = moved["negative_images"].flatten(1)
        close(each.norm(dim=-1), [50.000397, 49.999989, 50.000126])
        # all classes move alike but for the small step of SGD, which must be there
        apart = float((each[0] - each[1]).abs().max())
        assert 1e-6 < apart <= 2.4e-5
        close(moved["radius"], 0.001)
        assert not moved["contexts.context"].any()
        known, strange = (self.scores(method, frames) for frames in (FRAMES, STRANGERS))
        accepted, rejected = (part.max(1).values.double().numpy() for part in (known, strange))
        found = open_set.curve(accepted, rejected)
        right = (known.argmax(1) == LABELS).double().numpy()
        assert right.sum() == 2
        close(open_set.oscr_upstream(accepted, right, rejected), 0.14583333)
        close(open_set.auroc(found), 0.41666667)
        close(open_set.dtacc(found), 0.66666667)
        close(open_set.auin(found), 0.60330688)
        close(open_set.auout(found), 0.32380952)
        assert open_set.tnr_at_tpr95(found) == 0.0

    @staticmethod
    def scores(method: HESP, frames: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            vectors = method.eval().clip_vectors(frames, WINDOW.expand(len(frames), 2))
            similar, distant = method.heads(vectors, *method._sides())
            return (similar + distant) / 2

    def test_the_corrected_step_moves_each_image_and_the_contexts(self, backbone) -> None:
        method = hesp(backbone, published=False)
        before = {name: value.clone() for name, value in method.state_dict().items()}
        torch.stack(list(terms(method).values())).sum().backward()
        optimiser = method.optimiser()
        for group in optimiser.param_groups:
            group["lr"] *= 0.1
        optimiser.step()
        moved = {name: value - before[name] for name, value in method.state_dict().items()}
        close(moved["patch"].norm(), 5.0)
        each = moved["negative_images"].flatten(1)
        close(each.norm(dim=-1), [5.0] * 3)
        assert functional.cosine_similarity(each[0], each[1], dim=0) < 0.99
        close(moved["contexts.context"].norm(), 0.001 * 84.424484)
