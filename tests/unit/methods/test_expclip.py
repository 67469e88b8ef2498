"""Exp-CLIP: its Gram form, its training pairs, its switches, and released heads."""

import feature_world
import numpy as np
import pyarrow as pa
import pytest
import torch
from feature_world import DIM, LABELS
from safetensors.torch import save_file

from expressway.core.columns import frame_array, frame_list
from expressway.core.errors import ConfigError
from expressway.core.model_card import ModelCard
from expressway.core.store import ShardWriter, Store, read_table
from expressway.data.clips import Batch, ClipStores
from expressway.data.sampling import generator
from expressway.methods import releases
from expressway.methods.base import Context
from expressway.methods.expclip.model import RELEASED_PIXELS, ExpCLIP, Recipe
from expressway.models import training
from expressway.models.prediction import scores
from expressway.networks import backbones

TEACHER_DIM = 24


def method(**recipe) -> ExpCLIP:
    torch.manual_seed(0)
    made = ExpCLIP(
        Recipe(teacher_dim=TEACHER_DIM, **recipe), Context(DIM, ("a", "b", "c"), "zero_shot")
    )
    # classes have one, three and two texts
    made.text_features = torch.randn(6, DIM)
    made.text_owner = torch.tensor([0, 1, 1, 1, 2, 2])
    return made


def clips(count: int = 5) -> Batch:
    torch.manual_seed(1)
    ids = tuple(str(index) for index in range(count))
    features = torch.randn(count, DIM)
    target = torch.randn(count, TEACHER_DIM).half()
    inputs = {"features": features, "target": target, "taught": torch.ones(count).bool()}
    return Batch(ids, inputs, torch.zeros(count, dtype=torch.int64))


def cosines(made: ExpCLIP, batch: Batch) -> torch.Tensor:
    """The definition: map, normalise, multiply; (clips, texts)."""
    weight = made.projection.weight
    images = torch.nn.functional.normalize(batch["features"] @ weight.T, dim=-1)
    texts = torch.nn.functional.normalize(made.text_features @ weight.T, dim=-1)
    return images @ texts.T


def test_scores_are_mean_logits_of_a_class() -> None:
    made, batch = method().eval(), clips()
    logits = made.scale * cosines(made, batch)
    expected = torch.stack([logits[:, made.text_owner == c].mean(-1) for c in range(3)], dim=1)
    # fp32 cosines times 100
    torch.testing.assert_close(made.scores(batch), expected, rtol=0, atol=1e-4)


def test_scores_can_be_cosines_to_mean_embeddings() -> None:
    made, batch = method(ensemble="embeddings").eval(), clips()
    weight = made.projection.weight
    texts = torch.nn.functional.normalize(made.text_features @ weight.T, dim=-1)
    classes = torch.stack([texts[made.text_owner == c].mean(0) for c in range(3)])
    classes = torch.nn.functional.normalize(classes, dim=-1)
    expected = made.scale * made.encode_clips(batch) @ classes.T
    torch.testing.assert_close(made.scores(batch), expected, rtol=0, atol=1e-4)


def test_the_gram_form_equals_the_map_and_follows_the_weights() -> None:
    made, batch = method(), clips()

    def direct() -> torch.Tensor:
        return made.scale * made.encode_clips(batch) @ made.encode_texts().T

    assert made.gram.numel() == 0
    with torch.no_grad():
        torch.testing.assert_close(made.scores(batch), direct(), rtol=0, atol=1e-4)
        made.eval()
        assert made.gram.shape == (DIM, DIM)
        torch.testing.assert_close(made.scores(batch), direct(), rtol=0, atol=1e-4)
        # weights that are loaded in inference, and a step of training in between
        made.load_state_dict({"projection.weight": torch.randn(TEACHER_DIM, DIM)})
        torch.testing.assert_close(made.scores(batch), direct(), rtol=0, atol=1e-4)
        made.train().projection.weight.add_(torch.randn(TEACHER_DIM, DIM))
        torch.testing.assert_close(made.scores(batch), direct(), rtol=0, atol=1e-4)
        made.eval()
        torch.testing.assert_close(made.scores(batch), direct(), rtol=0, atol=1e-4)


def test_the_loss_is_clips_own() -> None:
    made, batch = method(), clips()
    images = made.encode_clips(batch)
    teacher = torch.nn.functional.normalize(batch["target"].float(), dim=-1)
    logits = 100.0 * images @ teacher.T
    truth = torch.arange(5)
    entropy = torch.nn.functional.cross_entropy
    expected = (entropy(logits, truth) + entropy(logits.T, truth)) / 2
    torch.testing.assert_close(made.loss(batch)["contrastive"], expected)


def test_clips_without_a_teacher_take_no_part() -> None:
    made, batch = method(), clips()
    inputs = {**batch.inputs, "taught": torch.tensor([True, True, False, True, True])}
    inputs["target"] = inputs["target"].clone()
    inputs["target"][2] = 0
    kept = {name: value[[0, 1, 3, 4]] for name, value in batch.inputs.items()}
    partly = made.loss(Batch(batch.ids, inputs, batch.labels))["contrastive"]
    without = made.loss(Batch(("0", "1", "3", "4"), kept, batch.labels[:4]))["contrastive"]
    torch.testing.assert_close(partly, without)
    inputs["taught"] = torch.zeros(5, dtype=torch.bool)
    nothing = made.loss(Batch(batch.ids, inputs, batch.labels))["contrastive"]
    nothing.backward()
    assert float(nothing.detach()) == 0
    assert float(made.projection.weight.grad.abs().max()) == 0


FRAMES = np.random.default_rng(0).standard_normal((20, 2, DIM)).astype(np.float16)


def rows(source, valid=None, teacher=(-1,)) -> dict:
    count = len(source)
    return {
        "visual_features": {
            "source_index": np.asarray(source, np.int32),
            "valid": np.ones(count, bool) if valid is None else np.asarray(valid),
            "features": FRAMES[:count],
        },
        "teacher_embeddings": {
            "source_index": np.asarray(teacher, np.int32),
            "embeddings": np.arange(1, len(teacher) + 1)[:, None]
            * np.ones((1, TEACHER_DIM), np.float16),
        },
    }


def sample(given: dict, training: bool, epoch: int = 0, **recipe) -> dict:
    return method(**recipe).sample(given, generator(0, epoch, "clip"), training)


def mean(*places: int) -> torch.Tensor:
    return torch.from_numpy(FRAMES[list(places), 0].astype(np.float32).mean(0))


def test_a_clip_is_the_mean_of_unnormalised_frames_of_the_plain_view() -> None:
    found = sample(rows(range(100, 120)), training=False)
    # floor(20 / 16 * (x + 1/2)) leaves out every fifth of 20 frames
    centres = [int(20 / 16 * (x + 0.5)) for x in range(16)]
    assert set(found) == {"features"}
    torch.testing.assert_close(found["features"], mean(*centres))
    torch.testing.assert_close(sample(rows([7]), training=False)["features"], mean(0))


def test_frames_are_chosen_in_the_source_and_show_a_face() -> None:
    # of 31 source frames every tenth is stored; the second shows no face
    given = rows([0, 10, 20, 30], [True, False, True, True])
    wanted = [31 * (2 * x + 1) // 32 for x in range(16)]
    stored = {0: 0, 20: 2, 30: 3}
    nearest = [stored[min(stored, key=lambda s: (abs(s - w), s))] for w in wanted]
    torch.testing.assert_close(sample(given, training=False)["features"], mean(*nearest))
    nobody = rows([0, 1], [False, False])
    torch.testing.assert_close(sample(nobody, training=False)["features"], mean(0, 1))


def test_published_takes_the_first_frame_of_a_short_clip() -> None:
    short = rows(range(16))
    released = sample(short, training=False, published=True)["features"]
    torch.testing.assert_close(released, mean(0))
    corrected = sample(short, training=False)["features"]
    torch.testing.assert_close(corrected, mean(*range(16)))
    long = rows(range(17))
    torch.testing.assert_close(
        sample(long, training=False, published=True)["features"],
        sample(long, training=False)["features"],
    )


def test_a_teachers_frame_goes_with_the_same_frame() -> None:
    given = rows(range(40, 52), teacher=[43, 50])
    drawn = [sample(given, training=True, epoch=epoch) for epoch in range(12)]
    seen = set()
    for found in drawn:
        number = int(found["target"][0])
        seen.add(number)
        torch.testing.assert_close(found["features"], mean({1: 3, 2: 10}[number]))
        assert found["taught"]
    assert seen == {1, 2}
    again = sample(given, training=True, epoch=3)
    assert torch.equal(again["target"], drawn[3]["target"])


def test_a_vector_of_the_whole_clip_goes_with_the_clip() -> None:
    found = sample(rows(range(16)), training=True)
    torch.testing.assert_close(found["features"], mean(*range(16)))
    none = sample(rows(range(16), teacher=[]), training=True)
    assert not none["taught"]
    assert {k: v.shape for k, v in none.items()} == {k: v.shape for k, v in found.items()}
    assert {k: v.dtype for k, v in none.items()} == {k: v.dtype for k, v in found.items()}


def test_a_teacher_of_another_width_is_told() -> None:
    given = rows(range(3))
    given["teacher_embeddings"]["embeddings"] = np.ones((1, 7), np.float16)
    with pytest.raises(ConfigError, match="width 7, the recipe says 24; set teacher_dim: 7"):
        sample(given, training=True)


def stored_features(folder, **config) -> ClipStores:
    schema = pa.schema(
        [
            frame_list("source_index", "int32"),
            frame_list("valid", "bool"),
            frame_array("features", "float16", 1, DIM),
        ]
    )
    with ShardWriter(folder / "0.parquet", schema, {"config": config}):
        pass
    needs = ExpCLIP.stores(Recipe(), "zero_shot", "predict")
    return ClipStores({"visual_features": [folder / "0.parquet"]}, needs)


def test_published_needs_unnormalised_squashed_features(tmp_path) -> None:
    method(published=True).check_stores(stored_features(tmp_path / "a", **RELEASED_PIXELS))
    usual = {"normalise": True, "resize": "backbone", "interpolation": "backbone"}
    method().check_stores(stored_features(tmp_path / "b", **usual))
    for key, value in usual.items():
        stores = stored_features(tmp_path / key, **{**RELEASED_PIXELS, key: value})
        with pytest.raises(ConfigError, match=f"this store has {{'{key}': {value!r}}}"):
            method(published=True).check_stores(stores)
    with pytest.raises(ConfigError, match="set published: true"):
        method().check_stores(stored_features(tmp_path / "c", **RELEASED_PIXELS))


def test_training_and_prediction_refuse_other_pixels_than_the_releases(world, tmp_path) -> None:
    recipe = {**feature_world.SMALL["expclip"], "published": True}
    spec = world.train_spec("expclip", recipe=recipe)
    with pytest.raises(ConfigError, match="published: true needs visual_features made with"):
        training.train(spec, tmp_path / "out", tmp_path / "state")
    torch.save({"mlp.weight": torch.zeros(8, DIM)}, tmp_path / "head.pth")
    out = releases.import_weights("expclip", tmp_path / "head.pth", tmp_path / "m", world.backbone)
    with pytest.raises(ConfigError, match="published: true needs visual_features made with"):
        scores.predict(out, world.predict_spec(), tmp_path / "p.parquet")
    assert not (tmp_path / "p.parquet").exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_released_head_predicts(world, tmp_path, suffix) -> None:
    torch.manual_seed(0)
    state = {"mlp.weight": torch.randn(4096, DIM).half()}
    file = tmp_path / f"head{suffix}"
    torch.save(state, file) if suffix == ".pth" else save_file(state, file)
    out = releases.import_weights("expclip", file, tmp_path / "m", world.backbone)
    card = ModelCard.read(out)
    assert (card.recipe["published"], card.recipe["teacher_dim"]) == (True, 4096)
    made = scores.load(out, card, world.predict_spec())
    assert torch.equal(made.projection.weight, state["mlp.weight"].float())
    assert card.parameters["trainable"] == 4096 * DIM
    tower = sum(p.numel() for p in backbones.load(world.backbone).model.parameters())
    assert card.parameters["total"] == 4096 * DIM + tower


def test_a_released_heads_predictions_are_cosines_after_the_map(world, tmp_path) -> None:
    torch.manual_seed(0)
    weight = torch.randn(4096, DIM)
    torch.save({"mlp.weight": weight}, tmp_path / "head.pth")
    out = releases.import_weights("expclip", tmp_path / "head.pth", tmp_path / "m", world.backbone)
    spec = world.predict_spec(stores=_released_pixels(world, tmp_path))
    table = scores.predict(out, spec, tmp_path / "p.parquet")
    found = {row["clip_id"]: row for row in read_table(table).to_pylist()}
    store = Store(spec.stores["visual_features"])
    encoder = backbones.load(world.backbone)
    for clip, _ in spec.rows:
        if clip.id == feature_world.NO_FACE:
            continue
        frames = store.row(clip.id)["features"][:, 0].astype(np.float32)
        valid = np.flatnonzero(store.row(clip.id)["valid"])
        wanted = np.zeros(16, int)
        if len(frames) > 16:
            wanted = np.floor(len(frames) / 16 * (np.arange(16) + 0.5)).astype(int)
        # frame 1 shows no face; frame 0 is the nearest that does
        assert [i for i in range(len(frames)) if i not in valid] == [1]
        chosen = np.where(wanted == 1, 0, wanted)
        image = torch.nn.functional.normalize(
            (torch.from_numpy(frames[chosen]) @ weight.T).mean(0), dim=-1
        )
        for index, label in enumerate(LABELS):
            texts = encoder.encode_texts(list(feature_world.PROMPTS[label])) @ weight.T
            expected = 100 * (torch.nn.functional.normalize(texts, dim=-1) @ image).mean()
            # fp32 cosines times the temperature, which is 100 in every release
            assert found[clip.id]["scores"][index] == pytest.approx(float(expected), abs=2e-3)


def _released_pixels(world, folder) -> dict:
    """The world's features with a footer that says that they were made as released."""
    source = Store(world.stores["visual_features"])
    path = folder / "released.parquet"
    footer = {"config": {"backbone": world.backbone, **RELEASED_PIXELS}}
    with ShardWriter(path, feature_world._FEATURES, footer) as writer:
        for clip_id in source:
            writer.write({"clip_id": clip_id, **source.row(clip_id)})
    return {"visual_features": [path]}


def test_wrong_files_get_missing_and_unexpected_names(world, tmp_path) -> None:
    def refused(state: dict, message: str) -> None:
        torch.save(state, tmp_path / "wrong.pth")
        with pytest.raises(ConfigError, match=message):
            releases.import_weights("expclip", tmp_path / "wrong.pth", tmp_path / "m", backbone)
        assert not (tmp_path / "m").exists()

    backbone = world.backbone
    head = torch.zeros(4096, DIM)
    refused({"weight": head}, r"missing: mlp\.weight; unexpected: weight")
    refused({"mlp.weight": head, "mlp.bias": head}, r"missing: none; unexpected: mlp\.bias")
    refused({"mlp.weight": head[0]}, "expected a finite matrix")
    refused({"mlp.weight": torch.full_like(head, torch.nan)}, "expected a finite matrix")
    refused({"mlp.weight": torch.zeros(4096, 512)}, "a CLIP of width 512, local-dir:.* has 16")
    backbone = None
    refused({"mlp.weight": torch.zeros(4096, 512)}, "name it: --backbone ViT-B-32/openai")
    with pytest.raises(ConfigError, match=r"none\.pth: no such file"):
        releases.import_weights("expclip", tmp_path / "none.pth", tmp_path / "m", None)
    (tmp_path / "text.pth").write_text("hello")
    with pytest.raises(ConfigError, match="cannot be read as a state dict"):
        releases.import_weights("expclip", tmp_path / "text.pth", tmp_path / "m", None)


def test_a_head_of_768_columns_belongs_to_the_large_backbone(tmp_path) -> None:
    torch.save({"mlp.weight": torch.zeros(4096, 768)}, tmp_path / "head.pth")
    out = releases.import_weights("expclip", tmp_path / "head.pth", tmp_path / "m", None)
    card = ModelCard.read(out)
    assert card.backbone["model"] == "ViT-L-14/openai"
    # OpenAI's ViT-L/14 has 427,616,513 parameters
    assert card.parameters == {"trainable": 3_145_728, "total": 427_616_513 + 3_145_728}
    assert card.stores["visual_features"]["normalise"] is False
