"""HESP beyond its numbers: order of classes, windows, released behaviour, learned negatives."""

from pathlib import Path
from typing import Any

import feature_world
import numpy as np
import pytest
import torch
from feature_world import LABELS

from expressway import methods
from expressway.core.config import read_yaml
from expressway.core.errors import ConfigError
from expressway.data.clips import Batch
from expressway.data.patch_windows import inside
from expressway.methods.base import Context
from expressway.methods.blocks.normalised_step import NormalisedStep
from expressway.methods.hesp.clips import released_frames, released_window
from expressway.methods.hesp.model import HESP
from expressway.networks import backbones

SMALL = feature_world.SMALL["hesp"]
SIZE = 32


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> backbones.Backbone:
    return backbones.load(feature_world.write_backbone(tmp_path_factory.mktemp("b") / "clip"))


def hesp(backbone: backbones.Backbone, labels: tuple[str, ...] = LABELS, **recipe: Any) -> HESP:
    torch.manual_seed(0)
    prompts = {label: (f"{label}.", "never read") for label in labels}
    context = Context(16, labels, "open_set", prompts, backbone.logit_scale, backbone)
    return HESP(methods.recipe("hesp", {**SMALL, **recipe}), context)


def batch(size: int = 6, frames: int = 3, seed: int = 0) -> Batch:
    random = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (size, frames, 3, SIZE, SIZE), generator=random)
    windows = torch.randint(0, SIZE, (size, 2), generator=random).numpy()
    inputs = {"images": images.byte(), "window": torch.from_numpy(inside(windows, SIZE))}
    labels = torch.arange(size) % len(LABELS)
    return Batch(tuple(map(str, range(size))), inputs, labels, torch.zeros(size, 0))


def total(method: HESP, of: Batch) -> torch.Tensor:
    return torch.stack(list(method.loss(of).values())).sum()


class TestWhatIsLearned:
    def test_only_prompts_are_saved(self, backbone) -> None:
        shapes = {name: tuple(v.shape) for name, v in hesp(backbone).state_dict().items()}
        assert shapes == {
            "contexts.context": (3, 4, 8),
            "patch": (3, 8, 8),
            "negative_images": (3, 3, 32, 32),
            "radius": (),
        }

    def test_sizes_follow_the_input_and_steps_the_paper_s_lengths(self, tmp_path) -> None:
        vision = {**feature_world.CLIP_CONFIG["vision_cfg"], "image_size": 224, "patch_size": 32}
        config = {**feature_world.CLIP_CONFIG, "vision_cfg": vision}
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(feature_world, "CLIP_CONFIG", config)
            large = backbones.load(feature_world.write_backbone(tmp_path / "clip"))
        context = Context(16, ("anger",), "open_set", {"anger": ("anger",)}, backbone=large)
        method = HESP(methods.recipe("hesp", {}), context)
        assert method.patch.shape == (3, 56, 56)
        before = method.negative_images.detach().clone()
        for tensor in (method.patch, method.negative_images):
            tensor.grad = torch.randn_like(tensor)
        method.optimiser().step()
        # six decimals of a root mean square
        assert method.patch.norm().item() == pytest.approx(50, rel=1e-5)
        moved = method.negative_images.detach() - before
        assert moved.norm().item() == pytest.approx(50, rel=1e-5)

    @pytest.mark.parametrize("kind", ["fixed", "learned"])
    def test_negative_contexts(self, backbone, kind) -> None:
        method = hesp(backbone, negative_contexts=kind)
        optimiser, own = method.optimiser(), batch()
        total(method, own).backward()
        learned = [n for n, _ in method.named_parameters() if n.startswith("negative_contexts")]
        if kind == "fixed":
            assert learned == []
            return
        assert learned == ["negative_contexts.context"]
        gradient = method.negative_contexts.context.grad
        assert (gradient.flatten(1).norm(dim=-1) > 0).all()
        # the term that compares negative images with sentences is all that reaches them
        before = method.negative_contexts.context.detach().clone()
        optimiser.step()
        assert not torch.equal(before, method.negative_contexts.context)
        method.zero_grad()
        (total(method, own) - method.loss(own)["negative_text"]).backward()
        assert not method.negative_contexts.context.grad.any()

    def test_everything_of_clip_stays_frozen(self, backbone) -> None:
        method = hesp(backbone)
        assert isinstance(method.optimiser(), NormalisedStep)
        total(method, batch()).backward()
        assert all(p.grad is None for p in backbone.model.parameters())
        assert method.scale == pytest.approx(backbone.model.logit_scale.exp().item())

    def test_checkpointing_changes_no_gradient(self, backbone, tmp_path) -> None:
        plain = hesp(backbone)
        total(plain, batch()).backward()
        other = backbones.load(backbone.name)
        less = hesp(other, checkpointing=True)
        assert other.model.visual.transformer.grad_checkpointing
        total(less, batch()).backward()
        for name, parameter in plain.named_parameters():
            torch.testing.assert_close(parameter.grad, dict(less.named_parameters())[name].grad)

    def test_bf16_stays_near_and_finite(self, backbone) -> None:
        method, own = hesp(backbone), batch()
        full = total(method, own)
        with torch.autocast("cpu", torch.bfloat16):
            half = total(method, own)
        half.backward()
        assert half.dtype == torch.float32
        assert all(torch.isfinite(p.grad).all() for p in method.parameters())
        # 8 bits of mantissa through one block
        assert half.item() == pytest.approx(full.item(), rel=0.05)


class TestScores:
    def test_the_hybrid_is_the_mean_of_both_heads(self, backbone) -> None:
        method, own = hesp(backbone).eval(), batch()
        with torch.no_grad():
            clips = method.encode_clips(own)
            texts = torch.nn.functional.normalize(method.contexts(), dim=-1)
            negatives = backbone.model.encode_image(method.negative_images)
            similar, distant = method.heads(clips, texts, negatives)
            found = method.scores(own)
        torch.testing.assert_close(found, (similar + distant) / 2)
        torch.testing.assert_close(method.known_scores(found), found.max(-1).values)

    def test_centred_distances_change_only_how_known_a_clip_looks(self, backbone) -> None:
        plain, centred = (hesp(backbone, centre_distances=c).eval() for c in (False, True))
        own = batch()
        with torch.no_grad():
            first, second = plain.scores(own), centred.scores(own)
            losses = [total(method, own) for method in (plain, centred)]
        shift = first - second
        torch.testing.assert_close(shift, shift[:, :1].expand_as(shift))
        assert shift[:, 0].std() > 0
        assert torch.equal(*losses)

    def test_both_heads_keep_their_proportion_at_any_temperature(self, backbone) -> None:
        clips, negatives = torch.randn(4, 16), torch.randn(3, 16)
        texts = torch.nn.functional.normalize(torch.randn(3, 16), dim=-1)
        assert hesp(backbone).scale == pytest.approx(1 / 0.07)
        heads = [hesp(backbone, published=p).heads(clips, texts, negatives) for p in (False, True)]
        # the release's distances belong to a temperature of 100
        torch.testing.assert_close(100 * 0.07 * heads[0][1], heads[1][1])
        assert torch.equal(heads[0][0], heads[1][0])

    def test_inference_encodes_the_classes_once_and_anew_after_a_change(self, backbone) -> None:
        method, own, calls = hesp(backbone).eval(), batch(2), []
        method.contexts.register_forward_hook(lambda *_: calls.append(1))
        with torch.no_grad():
            first = method.scores(own)
            method.scores(own)
            assert len(calls) == 1
            changed = {k: v + 0.1 for k, v in method.state_dict().items()}
            method.load_state_dict(changed)
            assert not torch.equal(method.scores(own), first)
            method.train().eval()
            method.scores(own)
        assert len(calls) == 3

    def test_the_patch_is_added_at_the_window_on_every_frame(self, backbone) -> None:
        method = hesp(backbone)
        with torch.no_grad():
            method.patch.fill_(1.0)
        canvas = method._canvas(torch.tensor([[4, 28], [10, 16]]))
        assert canvas.sum((1, 2, 3)).tolist() == [3 * 64, 3 * 64]
        assert canvas[0, :, 0:8, 24:32].eq(1).all()
        assert canvas[1, :, 6:14, 12:20].eq(1).all()

    def test_clips_without_a_pair_train_on(self, backbone) -> None:
        method = hesp(backbone)
        terms = method.loss(batch(1))
        torch.stack(list(terms.values())).sum().backward()
        assert terms["contrastive"].item() == 0
        assert all(torch.isfinite(p.grad).all() for p in method.parameters())


def rows(frames: int = 6, size: int = 64) -> dict[str, Any]:
    """A clip whose frames show their number; CLIP's image is half as large as the crops."""
    import cv2

    crops = [
        bytes(cv2.imencode(".png", np.full((size, size, 3), 20 * index, np.uint8))[1])
        for index in range(frames)
    ]
    faces = {
        "crops": crops,
        "valid": np.ones(frames, bool),
        "source_index": np.arange(frames, dtype=np.int32),
    }
    attention = {
        "labels": ["fear", *LABELS],
        "scores": np.float32([0.9, 0.1, 0.3, 0.2]),
        "windows": np.int16([[8, 8], [100, 20], [60, 112], [50, 50]]),
        "image_size": 128,
    }
    return {"faces": faces, "attention": attention}


class TestSamples:
    def test_the_window_is_that_of_the_best_known_class(self, backbone) -> None:
        sample = hesp(backbone).sample(rows(), np.random.default_rng(0), False)
        # fear is the best of all, but not known: sadness, (60, 112) of 128, is (15, 28) of 32
        assert sample["window"].tolist() == [15, 28]
        assert sample["images"].shape == (3, 3, SIZE, SIZE)
        assert sample["images"][:, 0, 0, 0].tolist() == [20, 60, 100]

    def test_the_window_goes_along_with_the_view(self, backbone) -> None:
        method, tall = hesp(backbone, crop_area=[1.0, 1.0]), rows()
        random = np.random.default_rng(0)
        drawn = {tuple(method.sample(tall, random, True)["window"].tolist()) for _ in range(20)}
        # whole square faces are mirrored at most; windows stay within the image
        assert drawn == {(15, 28), (15, 4)}

    def test_a_store_without_a_known_class_is_refused(self, backbone) -> None:
        method = hesp(backbone, labels=("anger", "contempt"))
        with pytest.raises(ConfigError, match="no windows for contempt, only for fear, happiness"):
            method.sample(rows(), np.random.default_rng(0), False)

    def test_crop_areas_that_do_not_rise_are_refused(self) -> None:
        with pytest.raises(ConfigError, match="crop_area must rise"):
            methods.recipe("hesp", {"crop_area": [0.9, 0.5]})


class TestClassOrder:
    # sorted by name: anger, happiness, sadness
    def test_texts_follow_the_labels(self, backbone) -> None:
        method = hesp(backbone)
        alone = [hesp(backbone, labels=(label,)) for label in LABELS]
        ids = torch.cat([each.contexts.ids for each in alone])
        assert torch.equal(method.contexts.ids, ids)
        negatives = torch.cat([each.negative_texts for each in alone])
        torch.testing.assert_close(method.negative_texts, negatives)

    def test_published_sorts_texts_by_name_and_not_labels(self, backbone) -> None:
        correct, released = hesp(backbone), hesp(backbone, published=True)
        order = [LABELS.index(label) for label in sorted(LABELS)]
        assert order != [0, 1, 2]
        assert torch.equal(released.contexts.ids, correct.contexts.ids[order])
        torch.testing.assert_close(released.negative_texts, correct.negative_texts[order])
        assert released.context.labels == LABELS


class TestPublished:
    def test_contexts_stand_still_and_steps_ignore_the_schedule(self, backbone) -> None:
        method, own = hesp(backbone, published=True), batch()
        optimiser = method.optimiser()
        total(method, own).backward()
        before = {name: value.clone() for name, value in method.state_dict().items()}
        for group in optimiser.param_groups:
            group["lr"] *= 0.01
        optimiser.step()
        moved = {name: value - before[name] for name, value in method.state_dict().items()}
        assert not moved["contexts.context"].any()
        assert moved["patch"].square().mean().sqrt() == pytest.approx(0.02, rel=1e-5)
        images = moved["negative_images"]
        assert images.square().mean().sqrt() == pytest.approx(0.02, rel=1e-3)
        # one direction for all, then a small step of SGD each
        apart = (images[0] - images[1]).abs().max()
        assert 0 < apart < 1e-3

    def test_one_window_for_the_run_from_the_first_frame(self, backbone) -> None:
        first, second = batch(seed=1), batch(seed=2)
        method = hesp(backbone, published=True)
        assert methods.get("hesp").stores(method.recipe, "open_set", "train")[0].stage == "faces"
        assert len(method.stores(method.recipe, "open_set", "predict")) == 1
        torch.manual_seed(7)
        method.begin([first, second])
        torch.manual_seed(7)
        frame = first["images"][0, :1].float() / 255
        expected = released_window(backbone, frame, sorted(LABELS))
        assert torch.equal(method.position, expected)
        assert ((expected >= 4) & (expected <= 27)).all()
        clips = method.encode_clips(first)
        position = method.position.expand(6, 2)
        torch.testing.assert_close(
            clips, method.clip_vectors(first["images"].float() / 255, position)
        )
        # another draw of the untrained map, another place
        places = set()
        for seed in range(8):
            torch.manual_seed(seed)
            places.add(tuple(released_window(backbone, frame, sorted(LABELS)).tolist()))
        assert len(places) > 1
        assert "position" in method.state_dict()

    def test_released_frames(self) -> None:
        assert released_frames(16, 8, None).tolist() == [1, 3, 5, 7, 9, 11, 13, 15]
        assert released_frames(9, 8, None).tolist() == [(9 + 18 * i) // 16 for i in range(8)]
        assert released_frames(8, 8, None).tolist() == [0] * 8
        random = np.random.default_rng(0)
        drawn = np.stack([released_frames(31, 8, random) for _ in range(200)])
        # parts of 31 // 8 = 3 frames: the last seven are never seen
        assert sorted(set(drawn.ravel().tolist())) == list(range(24))
        assert released_frames(7, 8, random).tolist() == [0] * 8

    def test_learned_negatives_are_not_published(self) -> None:
        with pytest.raises(ConfigError, match="published: true goes with"):
            methods.recipe("hesp", {"published": True, "negative_contexts": "learned"})


def test_backbones_without_patches_are_refused_where_they_are_needed(tmp_path) -> None:
    vision = {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None}
    config = {**feature_world.CLIP_CONFIG, "vision_cfg": vision}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(feature_world, "CLIP_CONFIG", config)
        convolutional = backbones.load(feature_world.write_backbone(tmp_path / "clip"))
    method = hesp(convolutional, published=True)
    with pytest.raises(ConfigError, match="only for vision transformers"):
        method.begin([batch()])
    # windows from a store are no business of the tower
    assert hesp(convolutional).scores(batch()).shape == (6, 3)


def test_without_a_backbone_it_says_so() -> None:
    with pytest.raises(ConfigError, match="hesp"):
        HESP(methods.recipe("hesp", SMALL), Context(16, LABELS, "open_set"))


def test_the_committed_prompts_fit_a_context_of_sixteen() -> None:
    backbone = backbones.load("local-dir:data/demo/backbone")
    texts = read_yaml(Path("config/prompts/classes.yaml"))["descriptions"]
    prompts = {label: tuple(found) for label, found in texts["texts"].items()}
    context = Context(64, tuple(prompts), "open_set", prompts, backbone.logit_scale, backbone)
    assert HESP(methods.recipe("hesp", {}), context).encode_texts().shape == (11, 64)
