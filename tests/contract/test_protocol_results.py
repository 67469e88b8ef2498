"""From training to metrics.json under the protocols that measure more than recalls."""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context

import pyarrow as pa
import pytest
from built_methods import ALL
from feature_world import LABELS, TARGETS

from expressway import methods
from expressway.core import store
from expressway.core.errors import ExpresswayError
from expressway.models import evaluation, training
from expressway.models.prediction import scores

SEEN, UNSEEN = LABELS[:2], LABELS[2]
# what a protocol's headline numbers are called; a method's page may rely on them
HEADLINE = {
    "open_set": ("auroc", "oscr", "accuracy"),
    "leave_one_out": ("held_out_recall", "seen_unweighted_average_recall"),
    "regression": ("concordance_correlation", "pearson_correlation", "mean_absolute_error"),
}
MEASURED = [(name, protocol) for name, protocol in ALL if protocol in HEADLINE]


def results(world, folder, name, protocol):
    """Train on two of three classes, or on numbers, and evaluate on all clips."""
    classes = {} if protocol == "regression" else {"labels": SEEN}
    spec = world.train_spec(name, protocol, **classes)
    model = training.train(spec, folder / "model", folder / "state")
    answers = {} if protocol != "open_set" else {"labels": SEEN}
    rows = [(clip, "fold1") for clip in world.clips]
    asked = world.predict_spec(protocol, rows=rows, all_labels=LABELS, **answers)
    table = scores.predict(model, asked, folder / "predictions.parquet")
    return evaluation.evaluate(table, folder / "metrics.json")


@pytest.mark.parametrize(("name", "protocol"), MEASURED)
def test_headline_numbers_are_finite(world, tmp_path, name, protocol) -> None:
    found = results(world, tmp_path, name, protocol)
    for metric in HEADLINE[protocol]:
        entry = found["metrics"][metric]
        assert entry["value"] is not None, entry
        assert entry["interval_subjects"][0] <= entry["value"] <= entry["interval_subjects"][1]
    assert found["missing_by_status"]["no_face"] >= 1
    if protocol == "open_set":
        assert (found["known"], found["unknown"]) == (32, 15)
        trained = methods.get(name).trained
        assert ("accuracy_with_rejection" in found["metrics"]) == trained
    if protocol == "leave_one_out":
        assert found["held_out"] == [UNSEEN]
    if protocol == "regression":
        assert set(found["per_target"]) == set(TARGETS)


def share(model, asked, folder, part):
    """Predict every n-th clip, as one of n processes does; return the table."""
    index, count = part
    mine = replace(asked, rows=asked.rows[index::count])
    return scores.predict(model, mine, folder / f"{index}-of-{count}.parquet")


def together(files, out):
    """Write the tables of several processes as one."""
    tables = [store.read_table(file) for file in files]
    store.write_table(out, pa.concat_tables(tables), store.read_footer(files[0]))
    return out


def test_one_two_and_three_processes_have_the_same_numbers(world, tmp_path) -> None:
    spec = world.train_spec("emoclip", "leave_one_out", labels=SEEN)
    model = training.train(spec, tmp_path / "model", tmp_path / "state")
    # 47 clips: neither two nor three processes get shares of equal length, and nothing is padded
    rows = [(clip, "fold1") for clip in world.clips[1:]]
    asked = world.predict_spec("leave_one_out", rows=rows, all_labels=LABELS)
    found = []
    for count in (1, 2, 3):
        work = partial(share, model, asked, tmp_path)
        with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
            files = list(pool.map(work, [(index, count) for index in range(count)]))
        table = together(files, tmp_path / f"{count}.parquet")
        found.append(evaluation.evaluate(table, tmp_path / f"{count}.json"))
    assert found[0] == found[1] == found[2]
    padded = together([*files, files[0]], tmp_path / "padded.parquet")
    with pytest.raises(ExpresswayError, match="more than one row"):
        evaluation.evaluate(padded, tmp_path / "padded.json")
