"""What the names of a configuration stand for: data sets, stage variants, models, evaluations."""

from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any, get_args

from expressway.core.config import read_yaml
from expressway.core.errors import ConfigError
from expressway.core.fingerprints import digest
from expressway.core.stage import StageConfig
from expressway.planning import settings as schema
from expressway.planning.datasets import Dataset, read_dataset
from expressway.planning.settings import EvaluationConfig, ModelConfig, Settings

METHODS = Path("config/methods")


class Configuration:
    """Typed settings, and the tables of data that they name."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.dataset = lru_cache(maxsize=None)(self._dataset)
        self.same_as = lru_cache(maxsize=None)(self._same_as)

    def _dataset(self, name: str) -> Dataset:
        return read_dataset(self.settings, name)

    @cached_property
    def catalogue(self) -> Settings:
        """What the configuration names, and what its tables bring."""
        return schema.catalogue(self.settings)

    def demo_seed(self, dataset: str) -> int | None:
        """Return the seed of a rendered world, None for a data set of files."""
        return schema.dataset_config(self.settings, dataset).demo_seed

    def variant(self, stage: str, name: str) -> StageConfig:
        """Return the configuration of a stage variant.

        Raises:
            ConfigError: there is no such variant.
        """
        known = self._variants(stage, name)
        if name not in known:
            raise ConfigError(f"no variant {name!r} of {stage}; known: {', '.join(known)}")
        found: StageConfig = known[name]
        return found

    def _variants(self, stage: str, name: str) -> dict[str, Any]:
        known = schema.variants(self.settings, stage)
        return known if name in known else {**known, **schema.variants(self.catalogue, stage)}

    def _same_as(self, stage: str, name: str) -> str:
        """Return the first variant that computes the same: variants share what they are."""
        wanted = self._identity(stage, name)
        known = self._variants(stage, name)
        return next(each for each in known if self._identity(stage, each) == wanted)

    def _identity(self, stage: str, name: str) -> str:
        decides = self.decides(stage, name)
        return digest([decides, self.upstream(stage, name), self.kept(stage, name)])

    def decides(self, stage: str, name: str) -> dict[str, Any]:
        """Return the keys of a variant that decide its output; names of variants do not."""
        config = self.variant(stage, name)
        return {k: v for k, v in config.identity().items() if k not in config.upstream()}

    def upstream(self, stage: str, name: str) -> dict[str, str]:
        """Return which variant of which stage a variant reads."""
        above = self.variant(stage, name).upstream()
        return {stage: self.same_as(stage, variant) for stage, variant in above.items()}

    def kept(self, stage: str, name: str) -> bool:
        """Return whether the store is written (frames may be computed inside the faces job)."""
        return bool(getattr(self.variant(stage, name), "keep", True))

    def model(self, name: str) -> ModelConfig:
        """Return a model's configuration.

        Raises:
            ConfigError: there is no such model.
        """
        found = self.settings.models.get(name) or self.catalogue.models.get(name)
        if found is None:
            raise ConfigError(f"no model {name!r}; known: {', '.join(self.settings.models)}")
        return found

    def recipe(self, name: str) -> dict[str, Any]:
        """Return a model's recipe: its method's with the model's changes on top."""
        model = self.model(name)
        defaults = method_file(model.method).get("recipe") or {}
        return {**defaults, **model.recipe}

    def reads(self, name: str, phase: str) -> dict[str, str]:
        """Return stage -> variant that a model reads in a phase, ``train`` or ``predict``."""
        model = self.model(name)
        reads = method_file(model.method)["reads"]
        wanted = {**reads, **reads.get(model.protocol, {})}[phase]
        return {
            stage: self.same_as(stage, variant)
            for stage, variant in model.stores.items()
            if stage in wanted
        }

    def backbone(self, name: str) -> str | None:
        """Return the backbone that a model goes through, or that its features come from."""
        variant = self.model(name).stores.get("visual_features")
        if self.model(name).backbone or variant is None:
            return self.model(name).backbone
        config: Any = self.variant("visual_features", variant)
        return str(config.backbone)

    def evaluation(self, name: str) -> EvaluationConfig:
        """Return an evaluation's configuration.

        Raises:
            ConfigError: there is no such evaluation.
        """
        found = self.settings.evaluations.get(name) or self.catalogue.evaluations.get(name)
        if found is None:
            known = ", ".join(self.settings.evaluations)
            raise ConfigError(f"no evaluation {name!r}; known: {known}")
        return found

    def prompt_set(self, name: str | None) -> Any:
        """Return a class prompt set as it stands in the prompts file."""
        if name is None:
            return None
        path = Path(self.settings.prompts)
        known = read_yaml(path)
        if name not in known:
            raise ConfigError(f"{path}: no prompt set {name!r}; known: {', '.join(known)}")
        return known[name]


@cache
def method_file(method: str) -> dict[str, Any]:
    """Return ``config/methods/METHOD.yaml``: ``reads`` (stores per phase) and ``recipe``.

    Under ``reads``, a protocol's name may hold phases in which models of it read less.

    Raises:
        ConfigError: the file is missing or says not what the method reads.
    """
    path = METHODS / f"{method}.yaml"
    found = read_yaml(path)
    phases = set(found.get("reads", {})) - set(get_args(schema.Protocol))
    if phases != {"train", "predict"} or set(found) - {"reads", "recipe"}:
        raise ConfigError(f"{path}: expected reads: {{train: [...], predict: [...]}} and recipe:")
    return found
