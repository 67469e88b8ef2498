"""The models there are to train: splits, seeds, what each run reads and is made of."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from expressway.core.errors import ConfigError
from expressway.core.fingerprints import digest
from expressway.core.made_of import MadeOf
from expressway.core.manifest import Clip
from expressway.networks.backbones import local_files
from expressway.planning import paths
from expressway.planning.stores import Shard, Stores, weights

UNTRAINED_SPLIT = "all"
# Protocols whose training takes clips without a label, too.
WITHOUT_LABELS = frozenset({"zero_shot", "regression"})
T = TypeVar("T")


class Models:
    """Which models there are to train, from which rows of which stores."""

    def __init__(self, stores: Stores) -> None:
        self.stores = stores
        self.configuration = stores.configuration
        self.made_of = lru_cache(maxsize=None)(self._made_of)
        self.rows = lru_cache(maxsize=None)(self._rows)

    def runs(self, name: str) -> list[tuple[str, int]]:
        """Return the splits and seeds that a model is trained with."""
        seeds = self.configuration.model(name).seeds
        return [(split, seed) for split in self.splits(name) for seed in seeds]

    def cards(self) -> list[str]:
        """Return the ``model.json`` of every run of every model."""
        names = self.configuration.settings.models
        return [paths.card(name, *run) for name in names for run in self.runs(name)]

    def splits(self, name: str) -> list[str]:
        """Return the splits that a model is trained on; one named ``all`` without a scheme."""
        model = self.configuration.model(name)
        if model.scheme is None:
            return [UNTRAINED_SPLIT]
        known = self.configuration.dataset(model.dataset).split_names(model.scheme)
        wanted = model.splits or known
        strange = [split for split in wanted if split not in known]
        if strange or not known:
            raise ConfigError(
                f"models.{name}: scheme {model.scheme!r} of {model.dataset} has the splits "
                f"{', '.join(known) or 'none'}; not {', '.join(strange) or 'any'}"
            )
        return wanted

    def members(self, name: str, split: str) -> Mapping[str, str]:
        """Return clip id -> part of one split; without a scheme, every clip is for training."""
        model = self.configuration.model(name)
        if not self.configuration.reads(name, "train"):
            return {}
        data = self.configuration.dataset(model.dataset)
        if model.scheme is None:
            return {clip.id: "train" for clip in data.clips}
        return data.split(model.scheme, split).parts

    def labels(self, name: str, split: str) -> tuple[str, ...]:
        """Return the classes that a model's training sees in one split, in order."""
        model = self.configuration.model(name)
        data = self.configuration.dataset(model.dataset)
        known = data.split(model.scheme, split).known if model.scheme else None
        return tuple(data.config.labels.get(model.task, ())) if known is None else known

    def start(self, name: str, split: str, seed: int) -> tuple[str, str, int] | None:
        """Return the run (model, split, seed) that a run starts from, if it is one of ours.

        Raises:
            ConfigError: the other model has no such run, and more than one to choose from.
        """
        other = self.configuration.model(name).start_from
        if other is None or other not in self.configuration.settings.models:
            return None
        chosen = _same_or_only(name, split, self.splits(other), "splits")
        seeds = self.configuration.model(other).seeds
        return other, chosen, _same_or_only(name, seed, seeds, "seeds")

    def start_folder(self, name: str, split: str, seed: int) -> str | None:
        """Return the model folder that a run starts from, None for a start from its seed alone."""
        run = self.start(name, split, seed)
        return paths.model(*run) if run else self.configuration.model(name).start_from

    def shards(self, name: str, split: str) -> list[Shard]:
        """Return the shards that hold the clips of a split."""
        reads = self.configuration.reads(name, "train")
        ids = set(self.training_clips(name, split))
        return self.stores.with_clips(self.configuration.model(name).dataset, reads, ids)

    def training_clips(self, name: str, split: str) -> dict[str, str]:
        """Return clip id -> part of the clips that a training reads, in manifest order."""
        model, members = self.configuration.model(name), self.members(name, split)
        parts = {"train", "validation"} if self._chooses(name) else {"train"}
        known = set(self.labels(name, split))
        return {
            clip.id: members[clip.id]
            for clip in self.configuration.dataset(model.dataset).clips
            if members.get(clip.id) in parts
            and (model.protocol in WITHOUT_LABELS or clip.labels.get(model.task) in known)
        }

    def _made_of(self, name: str, split: str) -> MadeOf:
        """Return what the runs of a split are made of, whatever their seed."""
        model = self.configuration.model(name)
        decides = model.model_dump(
            mode="json", exclude={"splits", "seeds", "recipe", "stores", "scheme", "start_from"}
        )
        backbone = self.configuration.backbone(name)
        config = {
            **decides,
            "backbone": backbone,
            "recipe": self.configuration.recipe(name).model_dump(mode="json"),
            "prompts": self.configuration.prompt_set(model.prompts),
            "labels": list(self.labels(name, split)),
        }
        upstream = {
            stage: self.stores.fingerprint(model.dataset, stage, variant)
            for stage, variant in self.configuration.reads(name, "train").items()
        }
        files = weights(local_files(backbone)) if backbone else {}
        code = (f"expressway.methods.{model.method}.model", "expressway.models.training.run:run")
        above = self._start(name, split)
        return MadeOf(code, config, files, upstream | above, self.rows(name, split))

    def _start(self, name: str, split: str) -> dict[str, str]:
        """Return what the weights that a model starts from are made of."""
        other = self.configuration.model(name).start_from
        if other is None:
            return {}
        if other not in self.configuration.settings.models:
            return {"start_from": digest(weights((f"{other}/model.safetensors",)))}
        above = _same_or_only(name, split, self.splits(other), "splits")
        return {"start_from": self.expectation(other, above)}

    def _rows(self, name: str, split: str) -> str:
        """Identify what training reads of manifest and splits: rows, columns, parts."""
        model = self.configuration.model(name)
        parts = self.training_clips(name, split)
        clips = self.configuration.dataset(model.dataset).clips if parts else ()
        facts = [
            [clip.id, parts[clip.id], *self._facts(name, clip)]
            for clip in clips
            if clip.id in parts
        ]
        reads = self.configuration.reads(name, "train")
        return digest([facts, self.stores.clips_digest(model.dataset, reads, parts)])

    def _facts(self, name: str, clip: Clip) -> list[Any]:
        """Return what training reads of a clip's manifest row beside its id."""
        model = self.configuration.model(name)
        if model.protocol == "regression":
            return [clip.targets.get(target) for target in model.targets]
        if self._chooses(name):
            return [clip.labels.get(model.task), clip.subject]
        return [] if model.protocol == "zero_shot" else [clip.labels.get(model.task)]

    def _chooses(self, name: str) -> bool:
        """Return whether validation clips choose the epoch."""
        return self.configuration.recipe(name).selection != "last"

    def fingerprint(self, name: str, split: str) -> str:
        """Return what identifies the runs of a split, but for the rows that they read."""
        return self.stores.accepted(self.made_of(name, split).fingerprint)

    def expectation(self, name: str, split: str) -> str:
        """Return what identifies the runs of a split: fingerprint and rows."""
        return f"{self.fingerprint(name, split)}-{self.rows(name, split)}"


def _same_or_only(name: str, wanted: T, known: Sequence[T], what: str) -> T:
    """Return ``wanted`` if it is among the runs of the model that another starts from."""
    if wanted in known or len(known) == 1:
        return wanted if wanted in known else known[0]
    shown = ", ".join(map(str, known))
    raise ConfigError(
        f"models.{name}.start_from: that model has the {what} {shown}, and none is {wanted}; "
        "train it for this one, or for one only"
    )
