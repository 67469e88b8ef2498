"""Specifications of a training and of a prediction; plain values, no torch.

The workflow and the command line build these; ``training`` and ``prediction`` carry them out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from expressway.core.manifest import Clip

Prompts = Mapping[str, tuple[str, ...]]
Stores = Mapping[str, Sequence[Path]]


@dataclass(frozen=True)
class Need:
    """A store that a method reads.

    Attributes:
        stage: name of the stage.
        columns: columns that are read.
        optional: a clip without a usable row of this store is still used.
        stream: rows are read when a clip is drawn (images); otherwise all are kept in memory.
        filled: a list column that must not be empty, such as a clip's texts.
    """

    stage: str
    columns: tuple[str, ...]
    optional: bool = False
    stream: bool = False
    filled: str | None = None


@dataclass(frozen=True)
class TrainSpec:
    """One model: a method and its recipe, the data of one split, one seed.

    Attributes:
        model: name of the model in the configuration.
        method: name of the method in the registry.
        recipe: values that differ from the recipe's defaults.
        clips: all clips of the data set, in manifest order.
        parts: clip id -> ``train | validation | test`` in this split; other clips are not used.
        stores: stage name -> its shard tables.
        task: label column; ``labels``: the class names that training sees, in order.
        targets: columns of numbers to predict, under the protocol ``regression``.
        start: model folder whose tensors the run starts from; None: from the seed alone.
        prompts: class name -> its texts (empty where the protocol uses no class text).
        prompt_set: name of the prompt set, for the record.
        provenance: what the stores were made with (stage -> variant and configuration).
        fingerprint: identity of stores, code, configuration and rows as the workflow computed it.
        made_of: the parts of it, and the content of what is read, for the record.
    """

    model: str
    method: str
    recipe: Mapping[str, Any]
    clips: Sequence[Clip]
    parts: Mapping[str, str]
    stores: Stores
    task: str
    labels: tuple[str, ...]
    protocol: str
    split: str
    seed: int
    backbone: str
    dataset: str
    targets: tuple[str, ...] = ()
    start: Path | None = None
    prompts: Prompts = field(default_factory=dict)
    prompt_set: str | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    made_of: Mapping[str, Any] = field(default_factory=dict)

    @property
    def outputs(self) -> tuple[str, ...]:
        """What the scores of a clip stand for: classes, or targets."""
        return self.targets or self.labels


@dataclass(frozen=True)
class PredictSpec:
    """One evaluation's inputs: test clips with the split they belong to, stores, class texts.

    Attributes:
        evaluation: name of the evaluation in the configuration.
        rows: test clips, each with the split whose test part it stands in.
        stores: stage name -> its shard tables.
        labels: class names to choose from, in order; empty: those of the model.
        all_labels: every class of the task, known to the model or not, in order.
        targets: columns of numbers to predict, under the protocol ``regression``.
        prompts: class name -> texts; empty: those that the model was trained with.
        unknown: the same evaluation of another data set's clips, of classes that no model knows.
        class_vectors: folder that keeps vectors of class texts between predictions, if any.
        made_of: model, test rows, prompts and code as the workflow computed them, for the record.
    """

    evaluation: str
    protocol: str
    dataset: str
    task: str
    rows: Sequence[tuple[Clip, str]]
    stores: Stores
    labels: tuple[str, ...] = ()
    all_labels: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    prompts: Prompts = field(default_factory=dict)
    prompt_set: str | None = None
    batch_size: int = 256
    unknown: Self | None = None
    class_vectors: Path | None = None
    made_of: Mapping[str, Any] = field(default_factory=dict)
