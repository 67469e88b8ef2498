"""FineCLIPER: what it reads, what is missing, which sentences, which losses."""

from dataclasses import replace
from typing import Any

import feature_world
import numpy as np
import picture_stores
import pytest
import torch
from feature_world import DIM, LABELS, NO_CAPTION, NO_LANDMARKS
from torch.nn import functional

from expressway import methods
from expressway.core.errors import ConfigError
from expressway.core.model_card import ModelCard
from expressway.data.clips import Batch, ClipDataset, ClipStores, in_order
from expressway.data.pictures import image_streams
from expressway.data.sampling import TEST_EPOCH, generator
from expressway.methods.base import Context, symmetric_contrastive
from expressway.methods.finecliper import clips as finecliper_inputs
from expressway.methods.finecliper import model as finecliper
from expressway.methods.finecliper.model import FineCLIPER, Recipe, aligned_loss
from expressway.models import training
from expressway.models.prediction import scores
from expressway.networks import backbones

SMALL = feature_world.SMALL["finecliper"]


@pytest.fixture(scope="module")
def backbone(world):
    return backbones.load(world.backbone)


def build(backbone, protocol: str = "supervised", prompts: Any = None, **recipe: Any) -> FineCLIPER:
    torch.manual_seed(0)
    labels = ("happiness_anger", "sadness_anger") if protocol == "compound" else LABELS
    texts = feature_world.PROMPTS if prompts is None else prompts
    context = Context(DIM, labels, protocol, texts, backbone.logit_scale, backbone)
    method = FineCLIPER(methods.recipe("finecliper", {**SMALL, **recipe}), context)
    method.read_prompts(backbone)
    return method


def moved(method: FineCLIPER) -> FineCLIPER:
    with torch.no_grad():
        for tensor in method.parameters():
            tensor.add_(0.1 * torch.randn_like(tensor))
    return method


def stores_of(world, method: FineCLIPER, phase: str = "predict") -> ClipStores:
    return ClipStores(world.stores, method.stores(method.recipe, method.context.protocol, phase))


def batch_of(world, method: FineCLIPER, ids: tuple[str, ...] = (), training: bool = False) -> Batch:
    stores = stores_of(world, method)
    clips = [c for c in world.clips if stores.why_not(c.id) is None and c.labels]
    clips = [c for c in clips if c.id in ids] if ids else clips[:8]
    data = ClipDataset(clips, stores, method.sample, "emotion", LABELS, 0, training=training)
    return next(iter(in_order(data, len(clips), 0 if training else TEST_EPOCH)))


def changed(batch: Batch, **inputs: torch.Tensor) -> Batch:
    return Batch(batch.ids, {**batch.inputs, **inputs}, batch.labels)


# --- what is read -------------------------------------------------------------------------------


def test_clips_lack_what_they_lack(world, backbone) -> None:
    batch = batch_of(world, build(backbone), ("clip-08", NO_LANDMARKS, NO_CAPTION))
    assert batch.ids == ("clip-07", "clip-08", "clip-09")
    assert batch["present"].tolist() == [
        [True, True, True, False],
        [True, True, True, True],
        [True, False, False, True],
    ]
    assert batch["frames"].shape == batch["parsing"].shape == (3, 4, 3, 32, 32)
    assert batch["frames"].dtype == torch.uint8
    assert batch["parsing"][2].max() == batch["landmarks"][2].max() == 0
    assert batch["captions"].shape == (3, 77)


def test_what_is_missing_changes_no_score_and_gets_no_gradient(world, backbone) -> None:
    method = moved(build(backbone)).eval()
    batch = batch_of(world, method, (NO_LANDMARKS,))
    noise = torch.randint(0, 256, batch["parsing"].shape, dtype=torch.uint8)
    other = changed(batch, parsing=noise, landmarks=255 - noise)
    torch.testing.assert_close(method.scores(batch), method.scores(other))
    method.train()
    sum(method.loss(batch).values()).backward()
    assert all(not p.grad.any() for p in method.images["parsing"].parameters())
    assert any(p.grad.any() for p in method.images["frames"].parameters())


def test_every_modality_present_counts(world, backbone) -> None:
    method = moved(build(backbone)).eval()
    batch = batch_of(world, method, ("clip-08",))
    for name in ("frames", "parsing", "landmarks", "captions"):
        other = changed(batch, **{name: torch.zeros_like(batch[name])})
        if name == "captions":
            other = changed(batch, captions=backbone.tokenize(["something else"]))
        assert not torch.allclose(method.scores(batch), method.scores(other), atol=1e-3)


def test_all_streams_are_cut_alike_and_by_chance(backbone) -> None:
    """Points outside of the picture draw nothing: the stream must equal the frames."""
    known = {"source_index": np.arange(9), "time": np.arange(9) / 25, "valid": np.ones(9, bool)}
    rows = picture_stores.rows(known, 1.0, np.random.default_rng(0))
    rows["landmarks"]["points"] = np.full((9, 68, 2), -99, np.float32)
    recipe = Recipe(frames=4, modalities=("frames", "landmarks"), rotation=10)
    draws = [
        finecliper_inputs.sample(recipe, backbone, rows, generator(0, epoch, "clip"), True)
        for epoch in (0, 0, 1)
    ]
    assert all(torch.equal(each["frames"], each["landmarks"]) for each in draws)
    assert torch.equal(draws[0]["frames"], draws[1]["frames"])
    assert not torch.equal(draws[0]["frames"], draws[2]["frames"])


def test_frames_without_landmarks_show_the_nearest_that_have_them() -> None:
    known = {"source_index": np.arange(6), "time": np.arange(6) / 25, "valid": np.ones(6, bool)}
    rows = picture_stores.rows(known, 1.0, np.random.default_rng(0))
    whole = image_streams(rows, np.arange(6), ("frames", "parsing"))
    rows["parsing"]["valid"] = np.array([False, True, False, False, True, False])
    held = image_streams(rows, np.arange(6), ("frames", "parsing"))
    assert torch.equal(held["frames"], whole["frames"])
    assert torch.equal(held["parsing"], whole["parsing"][[1, 1, 1, 4, 4, 4]])
    rows["parsing"]["valid"] = np.zeros(6, bool)
    assert set(image_streams(rows, np.arange(6), ("frames", "parsing"))) == {"frames"}


def test_frames_without_a_face_are_left_out() -> None:
    valid = np.array([True, False, True, False])
    random = np.random.default_rng(0)
    assert finecliper_inputs.chosen(valid, 4, random, False).tolist() == [0, 2, 2, 2]
    assert set(finecliper_inputs.chosen(valid, 40, random, True).tolist()) == {0, 2}
    assert finecliper_inputs.chosen(~valid & valid, 4, random, False).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("source", "rows", "expected"),
    [
        (
            "captions.refined",
            {"captions": {"refined": "a jaw drops", "raw": "fear"}},
            "a jaw drops",
        ),
        ("captions.raw", {"captions": {"refined": "a jaw drops", "raw": "fear"}}, "fear"),
        ("text_embeddings", {"text_embeddings": {"texts": ["one", "two"]}}, "one"),
        ("captions.refined", {"captions": {"refined": ""}}, None),
        ("text_embeddings", {"text_embeddings": {"texts": []}}, None),
        ("text_embeddings", {}, None),
    ],
)
def test_captions_come_from_the_store_that_is_named(backbone, source, rows, expected) -> None:
    recipe, random = Recipe(caption_text=source), np.random.default_rng(0)
    found = finecliper_inputs.caption(recipe, backbone, rows, random, training=False)
    if expected is None:
        assert found is None
    else:
        assert torch.equal(found, backbone.tokenize([expected])[0])


def test_training_draws_one_of_several_captions(backbone) -> None:
    recipe, random = Recipe(caption_text="text_embeddings"), np.random.default_rng(0)
    rows = {"text_embeddings": {"texts": ["one", "two"]}}
    drawn = [finecliper_inputs.caption(recipe, backbone, rows, random, True) for _ in range(20)]
    assert len({tuple(tokens.tolist()) for tokens in drawn}) == 2


def test_stores_follow_modalities() -> None:
    def stores(protocol: str, phase: str, **recipe: Any) -> dict[str, bool]:
        found = FineCLIPER.stores(Recipe(**recipe), protocol, phase)
        return {need.stage: need.optional for need in found}

    assert stores("supervised", "train", modalities=("frames",)) == {"faces": False}
    every = {"faces": False, "parsing": True, "landmarks": True, "captions": True}
    assert stores("supervised", "predict") == every
    assert stores("zero_shot", "train") == {**every, "captions": False}
    only = stores("supervised", "train", modalities=("captions",), caption_text="text_embeddings")
    assert only == {"text_embeddings": False}
    middle = stores("supervised", "train", modalities=("parsing", "landmarks"))
    assert middle == {"faces": False, "parsing": False, "landmarks": True}
    with pytest.raises(ConfigError, match="zero_shot learns images from captions"):
        stores("zero_shot", "train", modalities=("frames",))


def test_a_modality_needs_its_store(world, backbone) -> None:
    method = build(backbone)
    given = {stage: paths for stage, paths in world.stores.items() if stage != "parsing"}
    with pytest.raises(ConfigError, match="finecliper reads the store parsing"):
        method.check_stores(ClipStores(given, method.stores(method.recipe, "supervised", "train")))


def test_the_log_tells_how_many_clips_lack_a_modality(world, backbone, caplog) -> None:
    method = build(backbone)
    method.check_stores(stores_of(world, method))
    # two more have no face and are not used at all
    expected = [f"1 clips are used without {name}" for name in ("parsing", "landmarks")]
    assert caplog.messages == expected


def test_the_log_tells_how_many_captions_are_cut(world, backbone, caplog) -> None:
    method = build(backbone, modalities=("frames", "captions"))
    stores = stores_of(world, method)
    texts = [text for found in stores.each("text_embeddings", "texts") for text in found]
    lengths = [len(backbone.tokenizer.encode(text)) + 2 for text in texts]
    # one token less than the longest has, of which there are some
    limit = max(lengths) - 1
    method.backbone = replace(backbone, context_length=limit)
    method.check_stores(stores)
    cut = lengths.count(limit + 1)
    assert caplog.messages == [
        f"{cut} of {len(texts)} captions are longer than {limit} tokens: their ends are not read"
    ]


def test_cues_of_other_crops_are_refused(world, backbone, monkeypatch) -> None:
    method, stores = build(backbone), stores_of(world, build(backbone))
    footers = {
        "faces": {"variant": "small"},
        "parsing": {"config": {"faces": "large"}},
        "landmarks": {"config": {"faces": "small"}},
    }
    monkeypatch.setattr(stores, "footer", footers.__getitem__)
    with pytest.raises(ConfigError, match="parsing was made of faces/large.*reads faces/small"):
        method.check_stores(stores)


# --- clips and classes --------------------------------------------------------------------------


def test_it_starts_as_frozen_clip(world, backbone) -> None:
    method = build(backbone, modalities=("frames",), temporal="mean").eval()
    batch = batch_of(world, method)
    pixels = backbone.preprocess.normalise(batch["frames"].flatten(0, 1))
    frozen = backbone.encode_images(pixels).unflatten(0, (-1, 4)).mean(1)
    torch.testing.assert_close(
        method.encode_clips(batch), functional.normalize(frozen, dim=-1), atol=1e-6, rtol=0
    )
    texts = backbone.encode_texts([f"A person with an expression of {label}" for label in LABELS])
    negative = [f"A person with an expression of no {label}" for label in LABELS]
    unit = [functional.normalize(t, dim=-1) for t in (texts, backbone.encode_texts(negative))]
    torch.testing.assert_close(method.encode_texts(), unit[0] - unit[1], atol=1e-6, rtol=0)


def test_a_test_batch_goes_through_the_tower_in_parts(world, backbone, monkeypatch) -> None:
    method = moved(build(backbone, temporal="aim")).eval()
    batch = batch_of(world, method)
    whole = method.scores(batch)
    monkeypatch.setattr(finecliper, "FRAMES_AT_ONCE", 8)
    torch.testing.assert_close(method.scores(batch), whole, rtol=1e-4, atol=1e-4)


def test_compound_classes_are_means_of_their_components(backbone) -> None:
    method = moved(build(backbone, "compound"))
    assert [text for text, _ in method.sentences()] == [
        f"A person with an expression of {name}" for name in ("happiness", "anger", "sadness")
    ]
    single = moved(build(backbone)).class_pairs()
    for joined, parts in zip(method.class_pairs(), single, strict=True):
        happiness, sadness, anger = parts
        expected = torch.stack([happiness + anger, sadness + anger])
        torch.testing.assert_close(joined, functional.normalize(expected, dim=-1))


def test_zero_shot_pairs_the_papers_sentences_only(backbone) -> None:
    paper = {label: (f"A person with an expression of {label}",) for label in LABELS}
    paired = moved(build(backbone, "zero_shot", paper))
    assert len(paired.negative) == 3
    assert paired.class_pairs()[1].norm(dim=-1).allclose(torch.ones(3))
    alone = moved(build(backbone, "zero_shot"))
    assert len(alone.positive) == 6
    positive, negative = alone.class_pairs()
    assert not negative.any()
    torch.testing.assert_close(alone.encode_texts(), positive)


def test_a_model_keeps_the_sentences_it_was_trained_with(world, tmp_path) -> None:
    recipe = {**SMALL, "epochs": 1}
    for protocol in ("supervised", "zero_shot"):
        out = tmp_path / protocol
        training.train(world.train_spec("finecliper", protocol, recipe=recipe), out, out / "state")
        for asked in ("supervised", "zero_shot"):
            loaded = scores.load(out, ModelCard.read(out), world.predict_spec(asked))
            assert bool(loaded.own_sentences) == (protocol == "supervised")
            words = loaded.sentences()[0][0]
            own = words == "A person with an expression of happiness"
            assert own == (protocol == "supervised")


def test_zero_shot_trains_no_sentence_adapters(backbone) -> None:
    method = build(backbone, "zero_shot")
    frozen = {name for name, p in method.named_parameters() if not p.requires_grad}
    assert frozen
    assert all(name.startswith(("texts.positive", "texts.negative")) for name in frozen)
    assert not any(not p.requires_grad for p in build(backbone).parameters())


def test_zero_shot_needs_no_captions_at_test(world, backbone) -> None:
    texts = ("captions", "text_embeddings")
    given = {stage: paths for stage, paths in world.stores.items() if stage not in texts}
    for protocol in ("zero_shot", "supervised"):
        method = build(backbone, protocol)
        needs = method.stores(method.recipe, protocol, "predict")
        if protocol == "zero_shot":
            method.check_stores(ClipStores(given, needs))
        else:
            with pytest.raises(ConfigError, match="finecliper reads the store text_embeddings"):
                method.check_stores(ClipStores(given, needs))


def test_zero_shot_sees_no_captions_at_test(world, backbone) -> None:
    method = moved(build(backbone, "zero_shot")).eval()
    batch = batch_of(world, method)
    other = changed(batch, captions=backbone.tokenize(["something else"] * len(batch)))
    torch.testing.assert_close(method.scores(batch), method.scores(other))


# --- losses and recipe --------------------------------------------------------------------------


def test_terms_of_the_loss(world, backbone) -> None:
    def terms(protocol: str = "supervised", **recipe: Any) -> set[str]:
        method = build(backbone, protocol, **recipe)
        return set(method.loss(batch_of(world, method, training=True)))

    assert terms() == {"classes", "frames", "alignment"}
    assert terms(modalities=("frames",)) == {"classes"}
    assert terms(modalities=("frames", "parsing")) == {"classes", "frames"}
    assert terms(modalities=("captions",)) == {"classes"}
    assert terms("zero_shot") == {"alignment"}


def test_alignment_is_clips_loss_where_all_clips_differ() -> None:
    logits = torch.randn(5, 5)
    expected = symmetric_contrastive(logits, torch.eye(5))
    torch.testing.assert_close(aligned_loss(logits, torch.eye(5, dtype=torch.bool)), expected)


def test_clips_of_one_class_do_not_repel_each_other() -> None:
    logits = torch.randn(4, 4, requires_grad=True)
    classes = torch.tensor([0, 1, 0, 2])
    aligned_loss(logits, classes[:, None] == classes[None]).backward()
    assert logits.grad[0, 2] == logits.grad[2, 0] == 0
    assert (logits.grad != 0).sum() == 14


def test_without_captions_nothing_is_aligned() -> None:
    logits = torch.zeros(0, 0, requires_grad=True)
    loss = aligned_loss(logits, torch.zeros(0, 0, dtype=torch.bool))
    loss.backward()
    assert float(loss.detach()) == 0


def test_equal_captions_do_not_repel_in_zero_shot(world, backbone) -> None:
    method = build(backbone, "zero_shot").eval()
    batch = batch_of(world, method)
    same = changed(batch, captions=backbone.tokenize(["the same"] * len(batch)))
    assert float(method.loss(same)["alignment"].detach()) == pytest.approx(0, abs=1e-6)
    assert float(method.loss(batch)["alignment"].detach()) > 0.1


@pytest.mark.parametrize(
    "recipe",
    [
        {"temporal": "aim"},
        {"temporal": "mean"},
        {"fusion": "fixed", "first_weight": 0.3},
        {"fusion": "learned"},
        {"pn_split": True},
        {"checkpointing": True},
        {"modalities": ("frames", "captions"), "cue_width": 3},
        {"modalities": ("parsing", "landmarks")},
        {"adapters": ("positive",), "modalities": ("frames",)},
        {"adapters": ("images",), "modalities": ("frames", "captions")},
    ],
    ids=str,
)
def test_every_variant_learns(world, backbone, recipe) -> None:
    method = build(backbone, **recipe)
    batch, losses = batch_of(world, method, training=True), []
    optimiser = method.optimiser()
    for _ in range(8):
        optimiser.zero_grad()
        loss = sum(method.loss(batch).values())
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert min(losses[-2:]) < losses[0]
    assert all(p.grad is not None for p in method.parameters())


def test_bfloat16_trains_on_a_cpu(world, tmp_path) -> None:
    spec = world.train_spec("finecliper", "supervised", recipe={**SMALL, "epochs": 1})
    training.train(spec, tmp_path / "m", tmp_path / "s", precision="bf16-mixed")
    assert all(np.isfinite(list(ModelCard.read(tmp_path / "m").history[0].values())))


def test_only_matrices_decay(backbone) -> None:
    method = build(backbone)
    decaying, free = method.parameter_groups()
    assert "weight_decay" not in decaying
    assert free["weight_decay"] == 0.0
    names = {id(p): name for name, p in method.named_parameters()}
    assert all(names[id(p)].endswith("weight") and p.ndim == 2 for p in decaying["params"])
    kept = {names[id(p)] for p in free["params"]}
    assert {"temporal.summary", "temporal.positions"} <= kept
    assert len(decaying["params"]) + len(free["params"]) == len(names)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"published": True}, "nothing was released"),
        ({"adapters": (), "temporal": "mean"}, "nothing is trained"),
        ({"modalities": ()}, "modalities"),
        ({"modalities": ("frames", "gaze")}, "gaze|modalities"),
    ],
)
def test_recipes_that_make_no_sense(recipe, message) -> None:
    with pytest.raises(ConfigError, match=message):
        methods.recipe("finecliper", recipe)
