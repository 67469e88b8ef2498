"""Training of every method: Lightning's loop, resumed from the last finished epoch.

Chance is a function of (seed, epoch, clip) and the step size one of the epoch, so that a
resumed run ends with the same weights as an uninterrupted one. Training state lives in a folder
of its own, since Snakemake deletes the outputs of a failed job.
"""

import csv
import logging
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import Tensor

from expressway import methods
from expressway.backbones import Backbone, check_device
from expressway.backbones import load as load_backbone
from expressway.data.cards import WEIGHTS, ModelCard
from expressway.data.clips import Batch, ClipDataset, ClipStores, in_order, loader
from expressway.data.samplers import EpochSampler, balancing_weights, generator
from expressway.data.specs import TrainSpec
from expressway.data.splits import labelled, part, usable
from expressway.errors import ExpresswayError
from expressway.methods.base import Context, Method
from expressway.provenance import digest, package_versions
from expressway.store import atomic_path

PACKAGES = ("expressway", "torch", "lightning", "open_clip_torch", "numpy")
KEPT_CHECKPOINTS = 2
FIRST_EPOCH = 0
TERMINATED = 143
T = TypeVar("T")


@dataclass(frozen=True)
class Runtime:
    """Where a run computes: ``precision`` and ``workers`` as Lightning and torch name them."""

    device: str = "cpu"
    threads: int = 1
    precision: str = "32-true"
    workers: int = 0
    checkpoint_seconds: float = 20.0


def train(
    spec: TrainSpec,
    out: Path,
    state: Path,
    device: str = "cpu",
    threads: int = 1,
    precision: str = "32-true",
    workers: int = 0,
    checkpoint_seconds: float = 20.0,
) -> Path:
    """Train a model and write ``model.safetensors`` and ``model.json`` into ``out``.

    Args:
        state: folder of checkpoints and ``log.csv``; a run with the same identity goes on there.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        precision: Lightning's name: ``32-true``, ``bf16-mixed``.
        workers: processes that read clips; for methods that read images.
        checkpoint_seconds: least time between two checkpoints (at ends of epochs).

    Raises:
        ConfigError: recipe, protocol, stores or splits do not fit the method.
        SystemicError: the device is not there.
        SystemExit: with code 143, stopped by SIGTERM; a later run goes on.
    """
    runtime = Runtime(device, threads, precision, workers, checkpoint_seconds)
    check_device(device)
    torch.set_num_threads(threads)
    chosen = methods.get(spec.method)
    chosen.check_protocol(spec.protocol)
    recipe = methods.recipe(spec.method, spec.recipe, f"models.{spec.model}.recipe")
    backbone = load_backbone(spec.backbone, device)
    torch.manual_seed(_number(spec.seed, "start"))
    method = chosen(recipe, _context(spec, backbone))
    if chosen.trains_on_class_texts(spec.protocol):
        method.read_prompts(backbone)
    if not chosen.trained:
        return _publish(method, spec, backbone, out, "nothing is trained", {}, ())
    data, lost = _training_data(method, spec)
    print(_told(method, spec, data, runtime), flush=True)
    history = _fit(method, data, spec, state, runtime)
    counts = {"trained": len(data), **lost}
    published = _publish(method, spec, backbone, out, "last epoch", counts, history)
    for checkpoint in _checkpoints(state):
        checkpoint.unlink()
    return published


def _context(spec: TrainSpec, backbone: Backbone) -> Context:
    return Context(
        backbone.dim, spec.labels, spec.protocol, dict(spec.prompts), backbone.logit_scale
    )


def _number(seed: int, key: str, epoch: int = FIRST_EPOCH) -> int:
    """Return a seed for torch's generator."""
    return int(generator(seed, epoch, key).integers(2**62))


def _training_data(method: Method[Any], spec: TrainSpec) -> tuple[ClipDataset, dict[str, int]]:
    """Return the usable clips of the training part and how many were left out, by status."""
    stores = ClipStores(spec.stores, method.stores(method.recipe, spec.protocol, "train"))
    method.check_stores(stores)
    clips = part(spec.clips, spec.parts, "train")
    if spec.protocol != "zero_shot":
        clips = labelled(clips, spec.task, spec.labels)
    kept, lost = usable(clips, stores.why_not)
    data = ClipDataset(
        kept, stores, method.sample, spec.task, spec.labels, spec.seed, training=True
    )
    return data, lost


def _told(method: Method[Any], spec: TrainSpec, data: ClipDataset, runtime: Runtime) -> str:
    trainable = _count(p for p in method.parameters() if p.requires_grad)
    name = runtime.device
    if name.startswith("cuda"):
        name += f" ({torch.cuda.get_device_name(name)})"
    return (
        f"training {spec.model} ({method.name}, {spec.split}, seed {spec.seed}) on {name}, "
        f"{runtime.threads} threads, {runtime.precision}: {len(data)} clips, "
        f"{trainable:,} trained parameters, {method.recipe.epochs} epochs"
    )


def _count(parameters: Any) -> int:
    return sum(parameter.numel() for parameter in parameters)


class Loop(LightningModule):
    """Lightning's view of a method: its loss, its optimiser, and the step size over time."""

    def __init__(self, method: Method[Any], seed: int, identity: str) -> None:
        super().__init__()
        self.method, self.seed, self.identity = method, seed, identity
        self.history: list[dict[str, float]] = []
        self._sums: dict[str, Tensor] = {}
        self._steps = 0

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the method's optimiser; the step size is set before each step instead."""
        return self.method.optimiser()

    def on_train_epoch_start(self) -> None:
        """Forget the sums of the epoch before."""
        self._sums, self._steps = {}, 0

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Tie dropout to (seed, epoch, step) and set the step size of this moment."""
        torch.manual_seed(_number(self.seed, f"step {batch_idx}", self.current_epoch))
        moment = self.current_epoch + batch_idx / max(1, self.trainer.num_training_batches)
        for optimiser in self.trainer.optimizers:
            for group in optimiser.param_groups:
                start = group.setdefault("initial_lr", group["lr"])
                group["lr"] = start * self.method.recipe.rate(moment)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the summed loss terms.

        Raises:
            ExpresswayError: the loss is not finite; names the clips of the batch.
        """
        terms = self.method.loss(batch)
        total = torch.stack(list(terms.values())).sum()
        if not torch.isfinite(total):
            shown = ", ".join(batch.ids[:10])
            raise ExpresswayError(
                f"the loss is {float(total.detach())} in epoch {self.current_epoch + 1}, "
                f"step {batch_idx + 1} (clips {shown}, …); "
                f"lower learning_rate or look at these clips' features. "
                "The last finite state is kept"
            )
        for name, value in terms.items():
            self._sums[name] = self._sums.get(name, torch.zeros_like(total)) + value.detach()
        self._steps += 1
        return total

    def on_train_epoch_end(self) -> None:
        """Note the epoch's mean loss terms and its last step size."""
        means = {name: float(value) / max(1, self._steps) for name, value in self._sums.items()}
        rate = float(self.trainer.optimizers[0].param_groups[0]["lr"])
        self.history.append({"epoch": self.current_epoch + 1, **means, "learning_rate": rate})

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what a resume must know."""
        checkpoint["expressway"] = {"identity": self.identity, "history": self.history}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the history over."""
        self.history = list(checkpoint["expressway"]["history"])


class Keeper(Checkpoint):
    """Writes checkpoints and ``log.csv`` at ends of epochs, and tells how far training is.

    A ``Checkpoint``, since Lightning calls those after the loop's own end of an epoch.
    """

    def __init__(self, state: Path, seconds: float) -> None:
        self.state, self.seconds = state, seconds
        self._saved = self._started = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the state if enough time has passed, or the last epoch is done."""
        done, last = trainer.current_epoch + 1, int(trainer.max_epochs or 0)
        if done == last or time.monotonic() - self._saved >= self.seconds:
            self._save(trainer, done)
        if done == last or done % max(1, last // 10) == 0:
            self._tell(trainer, done, last)

    def _save(self, trainer: Trainer, done: int) -> None:
        with atomic_path(self.state / f"epoch-{done:05d}.ckpt") as temporary:
            trainer.save_checkpoint(temporary)
        self._saved = time.monotonic()
        for old in _checkpoints(self.state)[KEPT_CHECKPOINTS:]:
            old.unlink()

    def _tell(self, trainer: Trainer, done: int, last: int) -> None:
        loop = trainer.lightning_module
        assert isinstance(loop, Loop)
        _write_log(self.state / "log.csv", loop.history)
        terms = {k: v for k, v in loop.history[-1].items() if k not in ("epoch", "learning_rate")}
        losses = ", ".join(f"{name} {value:.4f}" for name, value in terms.items())
        spent = time.monotonic() - self._started
        print(f"epoch {done}/{last}: {losses}, {spent:.1f} s", flush=True)


def _write_log(path: Path, history: list[dict[str, float]]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(history[0]))
        writer.writeheader()
        writer.writerows(history)


def _checkpoints(state: Path) -> list[Path]:
    """Return the checkpoints of a run, newest first."""
    return sorted(state.glob("epoch-*.ckpt"), reverse=True)


def _resumable(state: Path, identity: str) -> Path | None:
    """Return the newest readable checkpoint of the same run; unreadable ones are told."""
    for path in _checkpoints(state):
        try:
            kept = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            print(f"{path}: damaged, using the one before ({type(error).__name__})", flush=True)
            continue
        if kept.get("expressway", {}).get("identity") == identity:
            return path
        print(f"{path}: from another recipe or other data, not used", flush=True)
    return None


def _identity(spec: TrainSpec, data: ClipDataset) -> str:
    """Identify a run: what would change its weights."""
    facts = {
        "recipe": spec.recipe,
        "clips": [clip.id for clip in data.clips],
        "classes": data.labels,
        "labels": spec.labels,
        "prompts": spec.prompts,
        "protocol": spec.protocol,
        "seed": spec.seed,
        "backbone": spec.backbone,
        "stores": {n.stage: data.stores.footer(n.stage) for n in data.stores.needs},
        "fingerprint": spec.fingerprint,
    }
    return digest(facts)


def _fit(
    method: Method[Any], data: ClipDataset, spec: TrainSpec, state: Path, runtime: Runtime
) -> tuple[Mapping[str, float], ...]:
    """Train ``method`` in place from its last checkpoint or from the start; return the history."""
    recipe = method.recipe
    size = min(recipe.batch_size or len(data), len(data))
    method.begin(in_order(data, size, FIRST_EPOCH))
    weights = balancing_weights(data.labels) if recipe.resample else None
    batches = loader(data, EpochSampler(len(data), spec.seed, weights), size, runtime.workers)
    loop = Loop(method, spec.seed, _identity(spec, data))
    kept = _resumable(state, loop.identity)
    if kept:
        print(f"going on from {kept}", flush=True)
    keeper = Keeper(state, runtime.checkpoint_seconds)
    trainer = _quietly(lambda: _trainer(recipe, runtime, keeper))
    try:
        _quietly(lambda: trainer.fit(loop, batches, ckpt_path=kept, weights_only=True))
    except SIGTERMException:
        # Lightning would leave with 0, as if the model were there
        print("stopped by SIGTERM; run it again to go on", flush=True)
        raise SystemExit(TERMINATED) from None
    return tuple(loop.history)


def _trainer(recipe: Any, runtime: Runtime, keeper: Keeper) -> Trainer:
    on_gpu = runtime.device.startswith("cuda")
    index = int(runtime.device.partition(":")[2] or 0)
    return Trainer(
        accelerator="gpu" if on_gpu else "cpu",
        devices=[index] if on_gpu else 1,
        precision=runtime.precision,  # type: ignore[arg-type]
        max_epochs=recipe.epochs,
        gradient_clip_val=recipe.gradient_clip,
        callbacks=[keeper],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )


def _quietly(function: Callable[[], T]) -> T:
    """Call without Lightning's notes about hardware, workers and tips."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        return function()


def _publish(
    method: Method[Any],
    spec: TrainSpec,
    backbone: Backbone,
    out: Path,
    selection: str,
    clips: Mapping[str, int],
    history: tuple[Mapping[str, float], ...],
) -> Path:
    """Write weights and card; the card last."""
    from safetensors.torch import save_file

    weights = {name: value.contiguous().cpu() for name, value in method.state_dict().items()}
    with atomic_path(out / WEIGHTS) as temporary:
        save_file(weights, temporary)
    trainable = _count(p for p in method.parameters() if p.requires_grad)
    frozen = _count(p for p in method.parameters() if not p.requires_grad)
    ModelCard(
        model=spec.model,
        method=spec.method,
        recipe=method.recipe.model_dump(mode="json"),
        backbone={
            "model": spec.backbone,
            "sha256": backbone.sha256,
            "dim": backbone.dim,
            "logit_scale": backbone.logit_scale,
        },
        labels=spec.labels,
        protocol=spec.protocol,
        task=spec.task,
        dataset=spec.dataset,
        split=spec.split,
        seed=spec.seed,
        selection=selection,
        parameters={
            "trainable": trainable,
            "total": trainable + frozen + _count(backbone.model.parameters()),
        },
        prompts=dict(spec.prompts),
        prompt_set=spec.prompt_set,
        stores=dict(spec.provenance),
        clips=clips,
        packages=package_versions(PACKAGES),
        fingerprint=spec.fingerprint,
        history=history,
    ).write(out)
    return out
