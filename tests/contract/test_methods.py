"""What every method in the registry must do, whatever it is."""

from typing import Any

import feature_world
import numpy as np
import pytest
import torch
from built_methods import ALL, TRAINED, batch_of, build, outputs, total
from feature_world import LABELS

from expressway import methods
from expressway.core.errors import ConfigError
from expressway.core.model_card import ModelCard
from expressway.core.store import read_table
from expressway.data.clips import Batch, ClipStores
from expressway.data.sampling import generator
from expressway.methods.base import Method
from expressway.methods.description import PROTOCOLS
from expressway.models import training
from expressway.models.prediction import scores as prediction
from expressway.networks import backbones


def copy_of(method: Method[Any]) -> dict[str, torch.Tensor]:
    """Return every tensor of a method, also those that are not saved."""
    tensors = {**dict(method.named_parameters()), **dict(method.named_buffers())}
    return {name: value.detach().clone() for name, value in tensors.items()}


def one_step(method: Method[Any], batch: Batch) -> float:
    optimiser = method.optimiser()

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = total(method.loss(batch))
        loss.backward()
        return loss

    return float(optimiser.step(closure).detach())


@pytest.mark.parametrize(("name", "protocol"), ALL)
def test_forward_gives_a_finite_score_per_class(world, name, protocol) -> None:
    method = build(world, name, protocol).eval()
    batch = batch_of(world, method, "predict")
    scores = method.scores(batch)
    assert scores.shape == (len(batch), len(outputs(protocol)))
    assert torch.isfinite(scores).all()
    assert method.known_scores(scores).shape == (len(batch),)
    assert method.encode_clips(batch).shape == (len(batch), feature_world.DIM)
    if method.class_texts:
        assert method.encode_texts().shape == (len(LABELS), feature_world.DIM)


@pytest.mark.parametrize(("name", "protocol"), TRAINED)
def test_backward_reaches_every_declared_parameter(world, name, protocol) -> None:
    method = build(world, name, protocol)
    total(method.loss(batch_of(world, method, "train"))).backward()
    declared = [p for group in method.parameter_groups() for p in group["params"]]
    assert declared
    without = [n for n, p in method.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []


@pytest.mark.parametrize(("name", "protocol"), TRAINED)
def test_a_step_changes_declared_parameters_only(world, name, protocol) -> None:
    method = build(world, name, protocol)
    batch = batch_of(world, method, "train")
    declared = {id(p) for group in method.parameter_groups() for p in group["params"]}
    names = {name for name, p in method.named_parameters() if id(p) in declared}
    before = copy_of(method)
    for _ in range(2):
        one_step(method, batch)
    after = copy_of(method)
    changed = {name for name in after if not torch.equal(before[name], after[name])}
    assert changed <= names
    # biases that a softmax cancels may stand still, the rest must not
    assert len(changed) >= len(names) // 2


@pytest.mark.parametrize(("name", "protocol"), TRAINED)
def test_steps_lower_the_loss(world, name, protocol) -> None:
    method = build(world, name, protocol)
    batch = batch_of(world, method, "train")
    losses = [one_step(method, batch) for _ in range(15)]
    assert min(losses[-3:]) < losses[0]


@pytest.mark.parametrize(("name", "protocol"), ALL)
def test_training_leaves_the_backbone_bit_equal(world, tmp_path, name, protocol) -> None:
    loaded = backbones.load(world.backbone)
    before = {key: value.clone() for key, value in loaded.model.state_dict().items()}
    method = build(world, name, protocol)
    if methods.get(name).trained:
        one_step(method, batch_of(world, method, "train"))
    after = loaded.model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert not any(p.requires_grad for p in loaded.model.parameters())


@pytest.mark.parametrize(("name", "protocol"), TRAINED)
def test_a_seed_decides_the_weights(world, tmp_path, name, protocol) -> None:
    def weights(folder: str, seed: int) -> bytes:
        spec = world.train_spec(name, protocol, seed=seed)
        training.train(spec, tmp_path / folder, tmp_path / f"state-{folder}")
        return (tmp_path / folder / "model.safetensors").read_bytes()

    assert weights("one", 1) == weights("again", 1)
    if name != "linear":  # convex, from zeros: the seed only decides the order of one batch
        assert weights("one", 1) != weights("two", 2)


@pytest.mark.parametrize(("name", "protocol"), ALL)
def test_save_and_load_give_the_same_scores(world, tmp_path, name, protocol) -> None:
    training.train(world.train_spec(name, protocol), tmp_path / "model", tmp_path / "state")
    card = ModelCard.read(tmp_path / "model")
    first = prediction.load(tmp_path / "model", card, world.predict_spec(protocol))
    batch = batch_of(world, first, "predict")
    second = prediction.load(tmp_path / "model", card, world.predict_spec(protocol))
    with torch.no_grad():
        assert torch.equal(first.scores(batch), second.scores(batch))
    assert card.parameters["total"] > card.parameters["trainable"] >= 0
    assert (card.parameters["trainable"] > 0) == methods.get(name).trained


@pytest.mark.parametrize(("name", "protocol"), ALL)
def test_scores_do_not_depend_on_the_batch(world, name, protocol) -> None:
    method = build(world, name, protocol).eval()
    batch = batch_of(world, method, "predict", size=7)
    with torch.no_grad():
        together = method.scores(batch)
        single = [
            method.scores(
                Batch(
                    batch.ids[i : i + 1],
                    {key: value[i : i + 1] for key, value in batch.inputs.items()},
                    batch.labels[i : i + 1],
                )
            )
            for i in range(len(batch))
        ]
    # matrix products of other sizes add up in another order: a few units of fp32 rounding
    torch.testing.assert_close(torch.cat(single), together, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("name", "protocol"), ALL)
def test_a_clip_without_data_gets_a_status_and_no_scores(world, tmp_path, name, protocol) -> None:
    training.train(world.train_spec(name, protocol), tmp_path / "model", tmp_path / "state")
    table = tmp_path / "predictions.parquet"
    prediction.predict(tmp_path / "model", world.predict_spec(protocol), table)
    rows = {row["clip_id"]: row for row in read_table(table).to_pylist()}
    assert len(rows) == sum(part_name == "test" for part_name in world.parts.values())
    lost = rows[feature_world.NO_FACE]
    assert (lost["status"], lost["scores"], lost["prediction"]) == ("no_face", None, None)
    others = [row for key, row in rows.items() if key != feature_world.NO_FACE]
    for row in others:
        best = None if protocol == "regression" else LABELS[int(np.argmax(row["scores"]))]
        assert (row["status"], row["prediction"]) == ("ok", best)
        assert len(row["scores"]) == len(outputs(protocol))


@pytest.mark.parametrize("name", methods.names())
def test_protocols_outside_its_list_are_refused_with_a_reason(name) -> None:
    chosen = methods.get(name)
    for protocol in set(PROTOCOLS) - set(chosen.protocols):
        with pytest.raises(ConfigError, match=f"{name} cannot run protocol {protocol}: .+"):
            chosen.check_protocol(protocol)


@pytest.mark.parametrize(("name", "protocol"), ALL)
def test_missing_stores_are_named(world, name, protocol) -> None:
    chosen = methods.get(name)
    needs = chosen.stores(methods.recipe(name, {}), protocol, "predict")
    assert needs
    with pytest.raises(ConfigError, match=needs[0].stage):
        ClipStores({}, needs)


@pytest.mark.parametrize("name", methods.names())
def test_every_recipe_field_is_described(name) -> None:
    fields = methods.get(name).recipe_type.model_fields
    assert [key for key, field in fields.items() if not field.description] == []


@pytest.mark.parametrize("name", methods.names())
def test_samples_have_the_same_shapes_for_every_clip(world, name) -> None:
    protocol = methods.get(name).protocols[0]
    method = build(world, name, protocol)
    stores = ClipStores(world.stores, method.stores(method.recipe, protocol, "predict"))
    shapes = {
        tuple((key, tuple(value.shape)) for key, value in sample.items())
        for clip in world.clips
        if stores.why_not(clip.id) is None
        for sample in [method.sample(stores.rows(clip.id), generator(0, 0, clip.id), False)]
    }
    assert len(shapes) == 1


def test_an_unknown_method_gets_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="did you mean 'emoclip'"):
        methods.get("emoclipp")
