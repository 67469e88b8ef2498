"""What training promises for every method: processes, micro batches and precision do not matter.

Numbers are compared in fp32. Sums over a batch are added up in another order, so gradients agree
to a few units of rounding: 1e-4 of the largest entry of the same tensor.
"""

from pathlib import Path
from typing import Any

import feature_world
import pytest
import torch
from built_methods import TRAINED, batch_of, build
from feature_world import FeatureWorld
from safetensors.torch import load_file
from two_processes import WORLD, Gradients, Loss, gradients, in_two, share, without_chance

from expressway import methods
from expressway.core.errors import ConfigError
from expressway.core.model_card import WEIGHTS, ModelCard
from expressway.models import training
from expressway.models.training.steps import Steps

ROUNDING = 1e-4


def same(found: Gradients, expected: Gradients) -> bool:
    return all(
        float((found[name] - expected[name]).abs().max())
        <= ROUNDING * float(expected[name].abs().max()) + 1e-7
        for name in expected
    )


def whole_batch(world: FeatureWorld, name: str, protocol: str) -> Gradients:
    method = build(world, name, protocol, **without_chance(name)).train()
    batch = batch_of(world, method, "train")
    method.begin([batch])
    return gradients(Loss(method), batch)


@pytest.fixture(scope="module")
def together(world: FeatureWorld, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gradients of two real processes, of all methods in one start."""
    folder = tmp_path_factory.mktemp("together")
    batches = {
        f"{name}-{protocol}": batch_of(world, build(world, name, protocol), "train")
        for name, protocol in TRAINED
    }
    in_two(world, batches, folder)
    return folder


@pytest.mark.parametrize(("name", "protocol"), TRAINED)
def test_two_processes_give_the_gradients_of_one(world, together, name, protocol) -> None:
    expected = whole_batch(world, name, protocol)
    for rank in range(WORLD):
        found = torch.load(together / f"{name}-{protocol}-{rank}.pt", weights_only=True)
        assert same({key.removeprefix("module."): value for key, value in found.items()}, expected)


@pytest.mark.parametrize(("name", "protocol"), TRAINED)
def test_micro_batches_add_up_where_the_method_says_so(world, name, protocol) -> None:
    method = build(world, name, protocol, **without_chance(name)).train()
    batch = batch_of(world, method, "train")
    method.begin([batch])
    for part in (share(batch, rank) for rank in range(WORLD)):
        torch.manual_seed(1)
        (Loss(method)(part) / WORLD).backward()
    found = {f"method.{n}": p.grad for n, p in method.named_parameters() if p.requires_grad}
    reason = methods.get(name).loss_over_batch.get(protocol)
    assert same(found, whole_batch(world, name, protocol)) == (reason is None)


def trained(world: FeatureWorld, folder: Path, name: str, protocol: str, **options: Any) -> Path:
    recipe = {**feature_world.SMALL.get(name, {}), **without_chance(name), "epochs": 2}
    recipe |= options.pop("recipe", {})
    spec = world.train_spec(name, protocol, recipe=recipe)
    return training.train(spec, folder, folder.parent / f"state-{folder.name}", **options)


@pytest.mark.parametrize(("name", "protocol"), TRAINED)
def test_accumulation_gives_the_same_weights_or_is_refused(world, tmp_path, name, protocol) -> None:
    small = methods.recipe(name, feature_world.SMALL.get(name, {}))
    recipe = {"batch_size": 8, "optimiser": small.optimiser.replace("lbfgs", "sgd")}
    parts = {**recipe, "accumulate": 4}
    reason = methods.get(name).loss_over_batch.get(protocol)
    if reason:
        with pytest.raises(ConfigError, match=r"cannot have accumulate: 4: ") as refused:
            trained(world, tmp_path / "parts", name, protocol, recipe=parts)
        assert reason in str(refused.value)
        return
    found, expected = (
        load_file(trained(world, tmp_path / f"out{i}", name, protocol, recipe=r) / WEIGHTS)
        for i, r in enumerate((parts, recipe))
    )
    for key in expected:
        # adamw divides by the gradient's own size: rounding of gradients near 0 becomes steps
        torch.testing.assert_close(found[key], expected[key], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("name", "protocol"), TRAINED)
def test_bf16_trains_fp32_weights(world, tmp_path, name, protocol) -> None:
    options: dict[str, Any] = {}
    if methods.recipe(name, feature_world.SMALL.get(name, {})).optimiser != "lbfgs":
        options["recipe"] = {"batch_size": 8}
    full = trained(world, tmp_path / "full", name, protocol, **options)
    half = trained(world, tmp_path / "half", name, protocol, precision="bf16-mixed", **options)
    weights = load_file(half / WEIGHTS)
    assert {value.dtype for value in weights.values() if value.is_floating_point()} == {
        torch.float32
    }
    assert all(torch.isfinite(value).all() for value in weights.values())
    assert (half / WEIGHTS).read_bytes() != (full / WEIGHTS).read_bytes()
    first = [ModelCard.read(folder).history[0] for folder in (full, half)]
    losses = [
        sum(v for k, v in row.items() if k not in ("epoch", "learning_rate")) for row in first
    ]
    # bf16 has 8 bits of mantissa; a loss near ln(batch) moves by some hundredths
    assert losses[1] == pytest.approx(losses[0], rel=0.05, abs=0.1)


def test_lbfgs_takes_the_whole_training_part_at_once(world, tmp_path) -> None:
    with pytest.raises(ConfigError, match="which no single process or micro batch knows"):
        trained(world, tmp_path / "out", "linear", "supervised", recipe={"accumulate": 2})
    with pytest.raises(ConfigError, match=r"lbfgs .* \(2 processes, accumulate: 1\)"):
        Steps.of(build(world, "linear", "supervised"), clips=30, world=2)
