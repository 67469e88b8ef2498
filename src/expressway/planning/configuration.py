"""The configuration by name: data sets, stage variants, models, evaluations."""

from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from expressway import methods
from expressway.core.config import read_yaml
from expressway.core.errors import ConfigError
from expressway.core.fingerprints import digest
from expressway.core.specs import Need
from expressway.core.stage import StageConfig
from expressway.methods.description import Phase, Recipe
from expressway.planning import settings as schema
from expressway.planning.datasets import Dataset, read_dataset
from expressway.planning.settings import EvaluationConfig, ModelConfig, Settings


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

    def resolved(self, stage: str, name: str) -> StageConfig:
        """Return a variant's configuration with the variants that it really reads."""
        return self.variant(stage, name).model_copy(update=self.upstream(stage, name))

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

    def recipe(self, name: str) -> Recipe:
        """Return a model's recipe: its method's with the model's changes on top.

        Raises:
            ConfigError: no such method; unknown keys, or values that are not allowed.
        """
        model = self.model(name)
        return methods.recipe(model.method, model.recipe, f"models.{name}.recipe")

    def needs(self, name: str, phase: Phase) -> tuple[Need, ...]:
        """Return the stores that a model's method reads under its recipe in a phase."""
        model = self.model(name)
        return methods.describe(model.method).planned(self.recipe(name), model.protocol, phase)

    def reads(self, name: str, phase: Phase) -> dict[str, str]:
        """Return stage -> variant that a model reads in a phase."""
        wanted = {need.stage for need in self.needs(name, phase)}
        return {
            stage: self.same_as(stage, variant)
            for stage, variant in self.model(name).stores.items()
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
