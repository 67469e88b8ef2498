"""The plan of a run: what the configuration names, the stores, models and evaluations of it."""

from expressway.planning import paths
from expressway.planning import settings as schema
from expressway.planning.accepted import Accepted
from expressway.planning.configuration import Configuration
from expressway.planning.datasets import Dataset
from expressway.planning.evaluations import Evaluations
from expressway.planning.models import Models
from expressway.planning.settings import Settings
from expressway.planning.stores import Stores


class Plan:
    """The parts of a plan, each holding the ones that it reads."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.accepted = Accepted()
        self.configuration = Configuration(settings)
        self.stores = Stores(self.configuration, self.accepted)
        self.models = Models(self.stores)
        self.evaluations = Evaluations(self.models)

    def dataset(self, name: str) -> Dataset:
        """Return a data set with its tables read and checked."""
        return self.configuration.dataset(name)

    def coverage_paths(self, dataset: str) -> list[str]:
        """Return the coverage files of all stores of a data set."""
        return [paths.coverage(dataset, *store) for store in self.stores.of_dataset(dataset)]


def narrowed(plan: Plan, table: str) -> Plan:
    """Return the plan of one table's models, evaluations and data only."""
    cells = {result for row in schema.table(table).rows for result in row.cells.values()}
    pairs = [result.split("/") for result in cells]
    settings = plan.configuration.catalogue
    models = {name: settings.models[name] for name, _ in sorted(pairs)}
    evaluations = {name: settings.evaluations[name] for _, name in sorted(pairs)}
    datasets = {m.dataset for m in models.values()}
    datasets |= {each for e in evaluations.values() for each in e.datasets}
    wanted = {name: [m for m, e in pairs if e == name] for name in evaluations}
    return Plan(
        settings.model_copy(
            update={
                "datasets": sorted(datasets),
                "prepare": [],
                "comparisons": [],
                "tables": [],
                "models": models,
                "evaluations": {
                    name: evaluation.model_copy(update={"models": wanted[name]})
                    for name, evaluation in evaluations.items()
                },
            }
        )
    )
