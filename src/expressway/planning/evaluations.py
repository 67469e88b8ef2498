"""The evaluations there are to make: test rows, labels, comparisons, tables."""

from functools import cached_property, lru_cache
from typing import Any

from expressway.core.fingerprints import digest
from expressway.core.made_of import MadeOf
from expressway.core.manifest import Clip
from expressway.planning import paths, settings
from expressway.planning.models import Models
from expressway.planning.stores import Shard

# Model, split, seed, evaluation.
Result = tuple[str, str, int, str]


class Evaluations:
    """Which clips each model is tested on, and what comes of it."""

    def __init__(self, models: Models) -> None:
        self.models = models
        self.configuration = models.configuration
        # evaluations share test clips, which are long lists
        self._test_clips = lru_cache(maxsize=None)(self._with_truth)
        self.made_of = lru_cache(maxsize=None)(self._made_of)

    def shards(self, name: str, evaluation: str, split: str) -> dict[str, list[Shard]]:
        """Return data set -> the shards that hold the test clips, and the unknown ones."""
        config = self.configuration.evaluation(evaluation)
        reads = self.configuration.reads(name, "predict")
        tested = {clip.id for clip, _ in self.test_rows(name, evaluation, split)}
        found = {config.dataset: self.models.stores.with_clips(config.dataset, reads, tested)}
        if config.unknown is not None:
            ids = {clip.id for clip, _ in self.unknown_rows(name, evaluation, split)}
            other = config.unknown.dataset
            found[other] = self.models.stores.with_clips(other, reads, ids)
        return found

    def test_rows(self, name: str, evaluation: str, split: str) -> list[tuple[Clip, str]]:
        """Return the test clips with a truth, each with the split it stands in.

        On the data set that the model was trained on, its own split decides; a model that no
        split trained is tested on all of them. Another data set is tested whole, or by the
        evaluation's scheme. Where another data set brings the unknown clips, these are known.
        """
        config = self.configuration.evaluation(evaluation)
        trained = self.configuration.model(name)
        own = config.dataset == trained.dataset and trained.scheme is not None
        columns = tuple(trained.targets) if config.protocol == "regression" else config.task
        rows = self._test_clips(
            config.dataset,
            columns,
            trained.scheme if own else config.scheme,
            split if own or config.scheme is None else None,
            config.part,
        )
        if config.unknown is None:
            return rows
        known = self.models.labels(name, split)
        return [(clip, each) for clip, each in rows if clip.labels[config.task] in known]

    def unknown_rows(self, name: str, evaluation: str, split: str) -> list[tuple[Clip, str]]:
        """Return the clips of another data set that play the unknown, in every split tested."""
        config = self.configuration.evaluation(evaluation)
        if config.unknown is None:
            return []
        other, known = config.unknown, self.models.labels(name, split)
        rows = self._test_clips(other.dataset, other.task, other.scheme, None, config.part)
        clips = {clip.id: clip for clip, _ in rows if clip.labels[other.task] not in known}
        tested = dict.fromkeys(each for _, each in self.test_rows(name, evaluation, split))
        return [(clip, each) for each in tested for clip in clips.values()]

    def clips(self, name: str, evaluation: str, split: str) -> dict[str, None]:
        """Return the ids of the clips that are scored, each once, in order."""
        rows = self.test_rows(name, evaluation, split)
        unknown = self.unknown_rows(name, evaluation, split)
        return dict.fromkeys(clip.id for clip, _ in [*rows, *unknown])

    def _with_truth(self, dataset: str, *chosen: Any) -> list[tuple[Clip, str]]:
        return self.configuration.dataset(dataset).with_truth(*chosen)

    def test_labels(self, name: str, evaluation: str, split: str) -> tuple[str, ...]:
        """Return the classes that a model may answer with under an evaluation, in order."""
        config = self.configuration.evaluation(evaluation)
        if config.protocol == "regression":
            return ()
        if config.protocol == "open_set":
            return self.models.labels(name, split)
        labels = self.configuration.dataset(config.dataset).config.labels
        return tuple(labels.get(config.task, ()))

    def _made_of(self, name: str, evaluation: str, split: str) -> MadeOf:
        """Return what the predictions of a model under an evaluation are made of."""
        config = self.configuration.evaluation(evaluation)
        decides = {
            **config.model_dump(mode="json", exclude={"models", "scheme"}),
            "prompts": self.configuration.prompt_set(config.prompts),
            "labels": self.test_labels(name, evaluation, split),
        }
        upstream = {"model": self.models.expectation(name, split)}
        for dataset in config.datasets:
            for stage, variant in self.configuration.reads(name, "predict").items():
                made_of = self.models.stores.fingerprint(dataset, stage, variant)
                upstream[f"{stage} of {dataset}"] = made_of
        code = ("expressway.models.prediction.scores:predict",)
        return MadeOf(code, decides, {}, upstream, self._rows(name, evaluation, split))

    def _rows(self, name: str, evaluation: str, split: str) -> str:
        config = self.configuration.evaluation(evaluation)
        targets = self.configuration.model(name).targets if config.protocol == "regression" else ()
        reads = self.configuration.reads(name, "predict")
        digest_of = self.models.stores.clips_digest
        tested = self.test_rows(name, evaluation, split)
        rows = [_facts(*row, config.task, targets) for row in tested]
        read = [digest_of(config.dataset, reads, (clip.id for clip, _ in tested))]
        if config.unknown:
            unknown = self.unknown_rows(name, evaluation, split)
            rows += [_facts(*row, config.unknown.task) for row in unknown]
            ids = (clip.id for clip, _ in unknown)
            read.append(digest_of(config.unknown.dataset, reads, ids))
        return digest([rows, read])

    def expectation(self, name: str, evaluation: str, split: str) -> str:
        """Return what identifies predictions: fingerprint and rows."""
        made_of = self.made_of(name, evaluation, split)
        return f"{self.models.stores.accepted(made_of.fingerprint)}-{made_of.rows}"

    def results(self, model: str, evaluation: str) -> list[Result]:
        """Return the runs of one model under one evaluation."""
        return [(model, *run, evaluation) for run in self.models.runs(model)]

    @cached_property
    def all_results(self) -> list[Result]:
        """Every run of every model under every evaluation."""
        return [
            result
            for name, evaluation in self.configuration.settings.evaluations.items()
            for model in evaluation.models
            for result in self.results(model, name)
        ]

    def folders(self, model: str, evaluation: str) -> list[str]:
        """Return the result folders of one model under one evaluation."""
        return [paths.evaluation(*result) for result in self.results(model, evaluation)]

    def all_folders(self) -> list[str]:
        """Return the result folders of every model under every evaluation."""
        return [paths.evaluation(*result) for result in self.all_results]

    def table_rows(self, name: str) -> list[tuple[str, dict[str, list[Result]]]]:
        """Return the rows of a table: title, and per column the results of its cell."""
        return [
            (row.title, {c: self._cell(result) for c, result in row.cells.items()})
            for row in settings.table(name).rows
        ]

    def _cell(self, name: str) -> list[Result]:
        model, _, evaluation = name.partition("/")
        return self.results(model, evaluation)

    @cached_property
    def comparisons(self) -> list[tuple[str, str, str, str]]:
        """All paired comparisons: model, evaluation, the other's model, its evaluation."""
        pairs = [(c.a.split("/"), c.b.split("/")) for c in self.configuration.settings.comparisons]
        return [(a[0], a[1], b[0], b[1]) for a, b in pairs]

    @property
    def comparison_paths(self) -> list[str]:
        """The files of all paired comparisons."""
        return [paths.comparison(*names) for names in self.comparisons]


def _facts(clip: Clip, split: str, task: str, targets: Any = ()) -> list[Any]:
    return [clip.id, clip.labels.get(task), clip.subject, split, *map(clip.targets.get, targets)]
