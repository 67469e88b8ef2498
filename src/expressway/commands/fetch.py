"""Load once all weights that jobs will load, where there is a network.

Compute nodes often have none. What is fetched lands in the loaders' own caches (HF_HOME, the
InsightFace folder of the configuration), which the nodes must share.
"""

import gc
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

from expressway import stages
from expressway.commands._options import CONFIG, ConfigOption, load_plan
from expressway.core.config import StrictModel
from expressway.core.errors import ExpresswayError
from expressway.core.stage import Runtime, StageConfig
from expressway.networks import hub
from expressway.planning.plan import Plan

M = TypeVar("M", bound=StrictModel)


def fetch(plan: Plan) -> Iterator[str]:
    """Open every stage and backbone that the configuration uses; yield a line for each.

    The loaders are the jobs' own, on the CPU, so a node that shares the caches needs no network.
    What they download is held to its hashes; yields a line for each file that came damaged, too.

    Raises:
        ExpresswayError: at the end, when something could not be loaded; names all of it.
    """
    failed = []
    for name, load in _loads(plan):
        try:
            for line in hub.checked(load):
                yield f"{name}: {line}"
        except ExpresswayError as error:
            failed.append(f"{name}: {error}")
        else:
            yield f"{name}: ready"
        gc.collect()
    if failed:
        raise ExpresswayError("\n".join([f"{len(failed)} could not be loaded", *failed]))


def _loads(plan: Plan) -> Iterator[tuple[str, Callable[[], object]]]:
    from expressway.networks import backbones

    used = {pair for dataset in _datasets(plan) for pair in plan.stores.of_dataset(dataset)}
    for stage, variant in sorted(used, key=lambda pair: (stages.NAMES.index(pair[0]), pair[1])):
        config = plan.configuration.variant(stage, variant)
        if not _is_remote(config):
            opened = partial(stages.get(stage).open, _light(config), Runtime())
            yield f"stages.{stage}.{variant}", opened
    found = {plan.configuration.backbone(model) for model in plan.settings.models}
    for backbone in sorted(name for name in found if name):
        yield f"backbone {backbone}", partial(backbones.load, backbone)


def _datasets(plan: Plan) -> set[str]:
    trained = {model.dataset for model in plan.settings.models.values()}
    evaluated = {evaluation.dataset for evaluation in plan.settings.evaluations.values()}
    return {*plan.settings.datasets, *trained, *evaluated}


def _is_remote(config: StageConfig) -> bool:
    """Return whether the model runs on a server of its own: nothing of it is loaded here."""
    return getattr(config, "captioner", None) == "openai"


def _light(config: M) -> M:
    """Return the configuration in half precision: the files are the same, the memory is half."""
    changed: dict[str, Any] = {}
    for name, value in config:
        if isinstance(value, StrictModel):
            changed[name] = _light(value)
        elif name == "precision" and value == "auto":
            changed[name] = "bf16"
    return config.model_copy(update=changed)


def command(config: ConfigOption = CONFIG) -> None:
    """Load once all weights that jobs will load, where there is a network (a login node)."""
    for line in fetch(load_plan(config)):
        print(line)
