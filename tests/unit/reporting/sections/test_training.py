"""Training curves show every term of every run, whatever its length and values."""

from xml.etree import ElementTree

from expressway.reporting.sections.provenance import Model
from expressway.reporting.sections.training import courses


def model(name: str, *losses: float | None) -> Model:
    rows = [
        {"epoch": e, "contrastive": v, "learning_rate": 0.1} for e, v in enumerate(losses, start=1)
    ]
    return Model(name, {"history": rows})


def counts(picture: str) -> tuple[int, int]:
    kinds = [e.get("class") for e in ElementTree.fromstring(picture).iter("polyline")]
    return kinds.count("run"), kinds.count("mean")


def test_runs_of_a_model_share_a_figure_and_models_without_training_have_none() -> None:
    folds = [model("emoclip/fold1-seed0", 4, 2, 1), model("emoclip/fold2-seed0", 6, 2)]
    [course] = courses([*folds, Model("clip/all-seed0", {"history": []})])
    assert (course.model, course.term, course.runs) == ("emoclip", "contrastive", 2)
    assert (course.first, course.last) == ("5", "1.5")
    assert counts(course.picture) == (2, 1)


def test_every_term_has_a_figure() -> None:
    rows = [{"epoch": 1, "known": 1.0, "negative": -2.0, "learning_rate": 0.1}]
    found = courses([Model("hesp/open-00-seed0", {"history": rows})])
    assert [course.term for course in found] == ["known", "negative"]
    assert found[1].last == "\N{MINUS SIGN}2"
    assert counts(found[0].picture) == (0, 1)


def test_values_that_are_missing_or_not_finite_leave_a_gap() -> None:
    [course] = courses([model("m/fold1-seed0", 3, None, float("inf"), 1)])
    [line] = ElementTree.fromstring(course.picture).iter("polyline")
    assert len((line.get("points") or "").split()) == 2
    [lost] = courses([model("m/fold1-seed0", None, None)])
    assert "nan" not in lost.picture
