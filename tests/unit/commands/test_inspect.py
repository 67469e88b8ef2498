"""Which data set a clip belongs to, when nobody says."""

from types import SimpleNamespace

import pytest

from expressway.commands.inspect import _dataset_of
from expressway.core.errors import ConfigError
from expressway.core.manifest import Clip


def plan(**datasets: list[str]):
    held = {
        name: SimpleNamespace(clips=[Clip(id=one, path=f"{one}.mp4") for one in ids])
        for name, ids in datasets.items()
    }
    return SimpleNamespace(settings=SimpleNamespace(datasets=list(held)), dataset=held.__getitem__)


def test_a_clip_is_found_in_the_data_set_that_has_it():
    assert _dataset_of(plan(dfew=["a", "b"], mafw=["c"]), "c") == "mafw"
    # of one data set its own error names the nearest clip
    assert _dataset_of(plan(dfew=["a"]), "z") == "dfew"


def test_a_clip_of_several_or_of_none_needs_a_name():
    with pytest.raises(ConfigError, match=r"clip 'a' is in dfew, mafw; name its data set"):
        _dataset_of(plan(dfew=["a"], mafw=["a"]), "a")
    with pytest.raises(ConfigError, match="in no data set of the configuration"):
        _dataset_of(plan(dfew=["a"], mafw=["b"]), "z")
