"""The files there are to make, each with what it is made of and what it reads."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from expressway.core.fingerprints import digest
from expressway.core.made_of import MadeOf
from expressway.planning import contents, paths
from expressway.planning import settings as schema
from expressway.planning.plan import Plan
from expressway.planning.records import record
from expressway.planning.stores import Shard

Contents = dict[str, str | None]
RESULTS_TABLE = "results"


@dataclass(frozen=True)
class Output:
    """What one job makes.

    Attributes:
        rule: the kind of job.
        path: the file that says what it was made of, written last.
        made_of: all that decides it, beside the content of what it reads.
        inputs: the outputs that it reads.
        read: name -> what identifies the content that it reads, as it is now; None: not there.
        name: under which a change of it is accepted: a stage, a model, an evaluation.
        clips: ids of the clips that it reads; None: all of its inputs.
        row_keys: of a shard, clip id -> what identifies its row beside the rows that it reads.
    """

    rule: str
    path: str
    made_of: MadeOf = field(compare=False)
    inputs: Callable[[], Sequence["Output"]] = field(default=tuple, compare=False)
    read: Callable[[], Contents] = field(default=dict, compare=False)
    name: str = ""
    clips: Callable[[], frozenset[str]] | None = field(default=None, compare=False)
    row_keys: Callable[[], dict[str, str]] = field(default=dict, compare=False)


class Outputs:
    """Every output of a plan, by kind."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        for kind in ("clips", "shard", "coverage", "model", "predictions", "metrics"):
            setattr(self, kind, lru_cache(maxsize=None)(getattr(self, kind)))

    # --- data sets ----------------------------------------------------------------------------

    def clips(self, dataset: str, shard: str) -> Output:
        """Return the rendered clips of a shard of a demo world."""
        data = self.plan.dataset(dataset)
        rows = digest([clip.id for clip in data.rows(shard)])
        made_of = replace(self.plan.stores.world(dataset), rows=rows)
        return Output("render_demo", paths.truth(data.root, shard), made_of, name="demo")

    def shard(self, dataset: str, stage: str, variant: str, shard: str) -> Output:
        """Return one shard of a store."""
        name = (dataset, stage, variant, shard)
        stores = self.plan.stores
        made_of = replace(stores.made_of(dataset, stage, variant), rows=stores.rows(*name))

        def inputs() -> list[Output]:
            found = [self.shard(*above) for above in stores.upstream_shards(*name)]
            rendered = stores.configuration.demo_seed(dataset) is not None
            if rendered and stores.reads_files(stage, variant):
                found.append(self.clips(dataset, shard))
            return found

        def read() -> Contents:
            above = stores.upstream_shards(*name)
            return {each[1]: contents.of_rows(paths.shard(*each)) for each in above}

        def row_keys() -> dict[str, str]:
            ids = [clip.id for clip in self.plan.dataset(dataset).rows(shard)]
            return dict(zip(ids, stores.row_keys(*name), strict=True))

        path = paths.shard(*name)
        return Output(stage, path, made_of, inputs, read, stage, row_keys=row_keys)

    def coverage(self, dataset: str, stage: str, variant: str) -> Output:
        """Return what a store lost and why; shards that were counted need not be there."""
        shards = [self.shard(*each) for each in self.plan.stores.shards(dataset, stage, variant)]
        allowed = self.plan.dataset(dataset).config.max_failed_fraction
        upstream = {Path(s.path).stem: self.expectation(s) for s in shards}
        made_of = MadeOf(config={"max_failed_fraction": allowed}, upstream=upstream)
        path = paths.coverage(dataset, stage, variant)

        def inputs() -> list[Output]:
            counted = (record(path) or {}).get("upstream", {})
            known = {s for s in shards if counted.get(Path(s.path).stem) == self.expectation(s)}
            return [s for s in shards if s not in known or Path(s.path).exists()]

        def read() -> Contents:
            return {Path(s.path).stem: contents.of_rows(s.path) for s in shards}

        return Output("coverage", path, made_of, inputs, read, name=stage)

    def all_coverage(self, *datasets: str) -> list[Output]:
        """Return the coverage of all stores of some data sets."""
        stores = self.plan.stores.of_dataset
        return [self.coverage(name, *store) for name in datasets for store in stores(name)]

    # --- models and evaluations ---------------------------------------------------------------

    def model(self, name: str, split: str, seed: int) -> Output:
        """Return one training run."""
        models = self.plan.models

        def inputs() -> list[Output]:
            start = models.start(name, split, seed)
            dataset = models.configuration.model(name).dataset
            reads = models.configuration.reads(name, "train").items()
            return [
                *(self.shard(*shard) for shard in models.shards(name, split)),
                *(self.coverage(dataset, *store) for store in reads),
                *([self.model(*start)] if start else []),
            ]

        def read() -> Contents:
            ids = tuple(models.training_clips(name, split))
            start = models.start(name, split, seed)
            above = {"start_from": contents.of_model(paths.card(*start))} if start else {}
            return {**self._stores_content(models.shards(name, split), ids), **above}

        def clips() -> frozenset[str]:
            return frozenset(models.training_clips(name, split))

        path = paths.card(name, split, seed)
        return Output("train", path, models.made_of(name, split), inputs, read, name, clips)

    def _stores_content(self, shards: Sequence[Shard], ids: tuple[str, ...]) -> Contents:
        """Return store -> what identifies the content of the rows of some clips."""
        by_store: dict[str, list[str]] = {}
        for dataset, stage, variant, shard in shards:
            path = paths.shard(dataset, stage, variant, shard)
            by_store.setdefault(f"{stage} of {dataset}", []).append(path)
        return {name: contents.of_clips(files, ids) for name, files in by_store.items()}

    def predictions(self, model: str, split: str, seed: int, evaluation: str) -> Output:
        """Return the scores of one run under one evaluation."""
        evaluations = self.plan.evaluations
        shards = evaluations.shards(model, evaluation, split)

        def inputs() -> list[Output]:
            reads = evaluations.configuration.reads(model, "predict").items()
            return [
                self.model(model, split, seed),
                *(self.shard(*shard) for each in shards.values() for shard in each),
                *(self.coverage(dataset, *store) for dataset in shards for store in reads),
            ]

        def read() -> Contents:
            ids = tuple(evaluations.clips(model, evaluation, split))
            found = self._stores_content([s for each in shards.values() for s in each], ids)
            return {"model": contents.of_model(paths.card(model, split, seed)), **found}

        def clips() -> frozenset[str]:
            return frozenset(evaluations.clips(model, evaluation, split))

        path = paths.predictions(model, split, seed, evaluation)
        made_of = evaluations.made_of(model, evaluation, split)
        return Output("predict", path, made_of, inputs, read, evaluation, clips)

    def metrics(self, model: str, split: str, seed: int, evaluation: str) -> Output:
        """Return what the scores of one run come to."""
        scores = self.predictions(model, split, seed, evaluation)
        made_of = MadeOf(
            ("expressway.models.evaluation.kinds:evaluate",),
            upstream={"predictions": self.expectation(scores)},
        )
        path = paths.metrics(model, split, seed, evaluation)
        return Output(
            "evaluate", path, made_of, lambda: [scores], _of_files([scores]), name=evaluation
        )

    def comparison(self, model: str, evaluation: str, other: str, another: str) -> Output:
        """Return the paired comparison of two results."""
        results = self.plan.evaluations.results
        sides = [*results(model, evaluation), *results(other, another)]
        scores = [self.predictions(*result) for result in sides]
        made_of = MadeOf(
            ("expressway.models.evaluation.kinds:compare",),
            upstream={each.path: self.expectation(each) for each in scores},
        )
        path = paths.comparison(model, evaluation, other, another)
        return Output("compare", path, made_of, lambda: scores, _of_files(scores))

    # --- what people read ---------------------------------------------------------------------

    def all_metrics(self) -> list[Output]:
        """Return the metrics of every model under every evaluation."""
        return [self.metrics(*result) for result in self.plan.evaluations.all_results]

    def all_models(self) -> list[Output]:
        """Return every run of every model."""
        names = self.plan.settings.models
        return [self.model(name, *run) for name in names for run in self.plan.models.runs(name)]

    def all_comparisons(self) -> list[Output]:
        """Return all paired comparisons."""
        return [self.comparison(*names) for names in self.plan.evaluations.comparisons]

    def results_table(self) -> Output:
        """Return the table of all results."""
        code = (
            "expressway.reporting.results_table:write",
            "expressway.reporting.results:summarise",
        )
        title = {"title": self.plan.settings.report.title}
        return self._page("tables", paths.table(RESULTS_TABLE), code, title, self.all_metrics())

    def table(self, name: str) -> Output:
        """Return one of the tables in config/tables, beside the paper's numbers."""
        cells = [r for _, row in self.plan.evaluations.table_rows(name) for r in row.values()]
        metrics = [self.metrics(*result) for cell in cells for result in cell]
        config = {
            "table": schema.table(name).model_dump(mode="json"),
            "published": contents.of_file(str(schema.TABLES / "published.csv")),
        }
        code = ("expressway.reporting.published_table:write",)
        return self._page("published_table", paths.table(name), code, config, metrics)

    def tables(self) -> list[Output]:
        """Return the tables that the configuration asks for."""
        return [self.table(name) for name in self.plan.settings.tables]

    def report(self, dataset: str | None = None) -> Output:
        """Return the report on everything, or on what was found in one data set."""
        settings = self.plan.settings
        config: dict[str, Any] = {"report": settings.report.model_dump(mode="json")}
        code = ("expressway.reporting:build",)
        templates = contents.of_templates()
        if dataset is not None:
            inputs = self.all_coverage(dataset)
            config |= {"templates": templates}
            return self._page("dataset_report", paths.report(dataset), code, config, inputs)
        inputs = [
            *self.all_metrics(),
            *self.all_comparisons(),
            *self.all_models(),
            *self.all_coverage(*settings.datasets),
        ]
        config |= {"templates": templates, "tables": settings.tables}
        return self._page("report", paths.report(), code, config, inputs)

    def _page(
        self,
        rule: str,
        path: str,
        code: tuple[str, ...],
        config: dict[str, Any],
        inputs: list[Output],
    ) -> Output:
        upstream = {each.path: self.expectation(each) for each in inputs}
        made_of = MadeOf(code, config, upstream=upstream)
        return Output(rule, path, made_of, lambda: inputs, _of_files(inputs))

    def everything(self) -> list[Output]:
        """Return what a plain run asks for."""
        return [
            self.report(),
            self.results_table(),
            *self.tables(),
            *self.all_coverage(*self.plan.settings.datasets),
            *self.all_models(),
            *self.all_metrics(),
            *self.all_comparisons(),
        ]

    def with_upstream(self, wanted: Iterable[Output]) -> list[Output]:
        """Return outputs and all that they are made from, upstream first, each once."""
        found: dict[Output, None] = {}

        def add(output: Output) -> None:
            if output not in found:
                for above in output.inputs():
                    add(above)
                found[output] = None

        for output in wanted:
            add(output)
        return list(found)

    # --- identity -----------------------------------------------------------------------------

    def expectation(self, output: Output) -> str:
        """Return what identifies an output: fingerprint, as accepted, and rows."""
        return f"{self.plan.accepted(output.made_of.fingerprint)}-{output.made_of.rows}"

    def record(self, output: Output) -> dict[str, Any]:
        """Return what an output is to say of itself, for the job that makes it."""
        fingerprint = self.plan.accepted(output.made_of.fingerprint)
        return {**output.made_of.parts, "fingerprint": fingerprint, "read": output.read()}


def _of_files(outputs: Sequence[Output]) -> Callable[[], Contents]:
    """Return what reads the content of small files, all in one."""
    return lambda: {"files": contents.of_files([each.path for each in outputs])}
