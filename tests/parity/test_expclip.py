"""Exp-CLIP against its release: fixture E, sizes, frame rule, prompt strings."""

import hashlib
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from expressway.data.clips import Batch
from expressway.language import prompts
from expressway.methods.base import Context
from expressway.methods.expclip.model import ExpCLIP, Recipe, segment_centres

CLASSES = (
    "happiness", "sadness", "neutral", "anger", "surprise", "disgust", "fear", "contempt",
    "anxiety", "helplessness", "disappointment",
)  # fmt: skip
SETS = Path(__file__).parents[2] / "config/prompts/classes.yaml"


def normal(seed: int, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape).astype(np.float32))


def batch(**inputs: torch.Tensor) -> Batch:
    count = len(inputs["features"])
    ids = tuple(str(index) for index in range(count))
    return Batch(ids, inputs, torch.full((count,), -1))


@pytest.fixture(scope="module")
def fixture_e() -> ExpCLIP:
    """W and 35 prompt vectors, five per class, as the fixture draws them."""
    model = ExpCLIP(Recipe(), Context(512, CLASSES[:7], "zero_shot"))
    with torch.no_grad():
        model.projection.weight.copy_(0.0255 * normal(3, (4096, 512)))
    model.text_features = normal(2, (35, 512))
    model.text_owner = torch.arange(7).repeat_interleave(5)
    return model.eval()


LOGITS = (-1.000531, -1.611545, 1.211574, -0.253899, -0.243293, 2.388329, 0.929074)


def test_fixture_e_video_logits(fixture_e) -> None:
    clips = batch(features=normal(1, (3, 16, 512)).mean(1))
    with torch.no_grad():
        scores = fixture_e.scores(clips)
        direct = fixture_e.scale * fixture_e.encode_clips(clips) @ fixture_e.encode_texts().T
    # cosines of fp32 are good to 1e-7, the scale is 100; the printed numbers have six decimals
    np.testing.assert_allclose(scores[0], LOGITS, atol=2e-5, rtol=0)
    np.testing.assert_allclose(direct, scores, atol=2e-5, rtol=0)
    assert scores.argmax(-1).tolist() == [5, 5, 2]


def test_fixture_e_in_double_precision(fixture_e) -> None:
    model = ExpCLIP(Recipe(), fixture_e.context).double()
    model.load_state_dict(fixture_e.state_dict())
    model.text_features, model.text_owner = fixture_e.text_features.double(), fixture_e.text_owner
    clips = batch(features=normal(1, (3, 16, 512)).double().mean(1))
    with torch.no_grad():
        found = model.eval().scores(clips)[0]
    # half a unit of the last printed decimal, and rounding
    np.testing.assert_allclose(found, LOGITS, atol=6e-7, rtol=0)


def test_fixture_e_averages_logits_not_embeddings(fixture_e) -> None:
    model = ExpCLIP(Recipe(ensemble="embeddings"), fixture_e.context)
    model.load_state_dict(fixture_e.state_dict())
    model.text_features, model.text_owner = fixture_e.text_features, fixture_e.text_owner
    clips = batch(features=normal(1, (3, 16, 512)).mean(1))
    with torch.no_grad():
        other = model.eval().scores(clips)
    # five nearly orthogonal unit vectors have a mean of length near 1 / sqrt(5)
    assert not np.allclose(other[0], LOGITS, rtol=0.5)
    np.testing.assert_allclose(model.encode_texts().detach().norm(dim=-1), 1, atol=1e-5)


def test_fixture_e_training_loss(fixture_e) -> None:
    pairs = batch(
        features=normal(4, (8, 512)),
        target=normal(5, (8, 62, 4096)).mean(1),
        taught=torch.ones(8, dtype=torch.bool),
    )
    loss = fixture_e.loss(pairs)["contrastive"]
    # logits up to about 5 with errors of 1e-5 each
    assert float(loss.detach()) == pytest.approx(2.536772, abs=1e-5)


def test_averaging_after_the_map_is_averaging_before_it(fixture_e) -> None:
    frames = normal(1, (3, 16, 512))
    with torch.no_grad():
        after = torch.nn.functional.normalize(fixture_e.projection(frames).mean(1), dim=-1)
        before = fixture_e.encode_clips(batch(features=frames.mean(1)))
    # the spec measured 2.6e-8 with another order of sums
    assert float((after - before).abs().max()) < 2e-7


@pytest.mark.parametrize(("dim", "trained"), [(512, 2_097_152), (768, 3_145_728)])
def test_parameters_and_their_start(dim, trained) -> None:
    torch.manual_seed(0)
    model = ExpCLIP(Recipe(), Context(dim, CLASSES[:7], "zero_shot"))
    assert [(n, p.numel()) for n, p in model.named_parameters()] == [("projection.weight", trained)]
    weight = model.projection.weight.detach()
    assert float(weight.abs().max()) <= 1 / math.sqrt(dim)
    # the spread of a uniform distribution; two million draws settle it to a thousandth
    assert float(weight.std()) == pytest.approx(1 / math.sqrt(3 * dim), rel=2e-3)
    assert {512: 0.0255, 768: 0.0208}[dim] == pytest.approx(float(weight.std()), abs=5e-5)


@pytest.mark.parametrize("count", [17, 18, 24, 32, 33, 144])
def test_frames_of_long_clips_are_the_releases(count) -> None:
    tick = count / 16
    released = [int(tick / 2 + tick * x) for x in range(16)]
    assert segment_centres(count, 16, published=True).tolist() == released
    assert segment_centres(count, 16).tolist() == released


@pytest.mark.parametrize("count", [1, 5, 15, 16])
def test_frames_of_short_clips(count) -> None:
    assert segment_centres(count, 16, published=True).tolist() == [0] * 16
    ours = segment_centres(count, 16).tolist()
    assert set(ours) == set(range(count))
    assert ours == sorted(ours)


TEMPLATES = (
    "an expression of {c}.",
    "a photo of a face with an expression of {c}.",
    "a photo radiating {c} in a person.",
    "a photo showing someone immersed in {c}.",
    "a photo capturing {c} within an individual.",
    "a photo of a face displaying {c}.",
    "a photo of a person embodying {c}.",
    "a good photo capturing someone's {c}.",
    "a cropped photo emphasizing a face expressing {c}.",
    "a clean photo showcasing a person's {adjective} expression.",
)
ADJECTIVES = dict(
    zip(
        CLASSES[2:],
        ("neutral", "angry", "surprised", "disgusted", "fearful", "contemptuous", "anxious",
         "helpless", "disappointed"),
        strict=True,
    )
)  # fmt: skip
# place of the sentence in the list of ten -> what the release has there instead
IRREGULAR = {
    "happiness": {
        5: "a photo of a face exuding happiness.",
        9: "a clean photo showcasing a person's happiness.",
    },
    "sadness": {
        1: "a cropped photo emphasizing a face expressing sadness.",
        2: "a photo exuding sadness in a person.",
        8: "a photo of a face with an expression of sadness.",
        9: "a clean photo showcasing a person's sadness.",
    },
    "neutral": {7: "a good photo capturing someone's neutral state."},
}


def ten(label: str) -> tuple[str, ...]:
    odd = IRREGULAR.get(label, {})
    adjective = ADJECTIVES.get(label, "")
    return tuple(
        odd.get(place, template.format(c=label, adjective=adjective))
        for place, template in enumerate(TEMPLATES)
    )


def test_the_prompt_types_are_the_releases() -> None:
    found = {t: prompts.class_texts(SETS, f"expclip_{t}", CLASSES) for t in range(1, 6)}
    for label in CLASSES:
        assert found[1][label] == (f"{label}.",)
        assert found[2][label] == (ten("anger")[0].replace("anger", label),)
        assert found[3][label] == (f"a photo of a face with an expression of {label}.",)
        assert found[4][label] == ten(label)[:5]
        assert found[5][label] == ten(label)
    strings = [text for label in CLASSES for text in found[5][label]]
    assert len(strings) == 110
    digest = hashlib.sha256("\n".join(strings).encode()).hexdigest()
    assert digest == "08a36e424d5df68e5b17148711cdfbec16939bce20fbbe3b676440f33b731723"


def test_no_prompt_is_longer_than_15_tokens() -> None:
    import open_clip

    texts = prompts.class_texts(SETS, "expclip_5", CLASSES)
    tokens = open_clip.tokenize([text for label in CLASSES for text in texts[label]])
    assert int((tokens != 0).sum(-1).max()) == 15
