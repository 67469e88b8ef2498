"""Clips joined with their store rows: what is used, what is left out, and why."""

import feature_world
import numpy as np
import pytest
import torch

from expressway.core.errors import ConfigError
from expressway.data.clips import UNLABELLED, Batch, ClipDataset, ClipStores, Need, loader
from expressway.data.sampling import EpochSampler
from expressway.data.splits import labelled, part, usable

FEATURES = Need("visual_features", ("features",))
TEXTS = Need("text_embeddings", ("texts",), filled="texts")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return feature_world.make(tmp_path_factory.mktemp("features"))


def dataset(world, clips, training=True) -> ClipDataset:
    stores = ClipStores(world.stores, [FEATURES])
    kept, _ = usable(clips, stores.why_not)

    def sample(rows, random, training):
        frames = rows["visual_features"]["features"]
        return {"frame": torch.from_numpy(frames[random.integers(len(frames)), 0].copy())}

    return ClipDataset(kept, stores, sample, "emotion", feature_world.LABELS, 0, training)


def test_reasons_for_leaving_a_clip_out(world) -> None:
    stores = ClipStores(world.stores, [FEATURES, TEXTS])
    assert stores.why_not("clip-00") is None
    assert stores.why_not(feature_world.NO_FACE) == "no_face"
    assert stores.why_not(feature_world.NO_CAPTION) == "no texts"
    assert stores.why_not("not in any shard") == "skipped"


def test_an_optional_store_may_lack_rows(world) -> None:
    optional = Need("landmarks", ("points",), optional=True)
    stores = ClipStores(world.stores, [optional, Need("text_embeddings", ("texts",))])
    assert stores.why_not(feature_world.NO_LANDMARKS) is None
    assert set(stores.rows(feature_world.NO_LANDMARKS)) == {"text_embeddings"}
    absent = Need("captions", ("raw",), optional=True)
    assert ClipStores(world.stores, [FEATURES, absent]).why_not("clip-00") is None


def test_parts_and_labels(world) -> None:
    train = part(world.clips, world.parts, "train")
    assert {world.parts[clip.id] for clip in train} == {"train"}
    with_label = labelled(train, "emotion", feature_world.LABELS[:2])
    assert {clip.labels["emotion"] for clip in with_label} == set(feature_world.LABELS[:2])


def test_nothing_usable_is_an_error_with_the_statuses(world) -> None:
    stores = ClipStores(world.stores, [FEATURES])
    lost = [clip for clip in world.clips if clip.id == feature_world.NO_FACE]
    with pytest.raises(ConfigError, match=r"usable: 0 \(1 no_face\)"):
        usable(lost, stores.why_not)


def test_a_sample_is_a_function_of_epoch_and_clip(world) -> None:
    one, two = dataset(world, world.clips), dataset(world, list(reversed(world.clips)))
    by_id = {clip.id: index for index, clip in enumerate(two.clips)}
    for index, clip in enumerate(one.clips[:5]):
        first, second = one[4, index].inputs, two[4, by_id[clip.id]].inputs
        assert torch.equal(first["frame"], second["frame"])
    drawn = {tuple(one[epoch, 0].inputs["frame"].tolist()) for epoch in range(20)}
    assert len(drawn) > 1


def test_workers_draw_what_one_process_draws(world) -> None:
    data = dataset(world, world.clips)

    def epoch(workers: int) -> list[Batch]:
        sampler = EpochSampler(len(data), seed=5)
        sampler.set_epoch(2)
        return list(loader(data, sampler, 8, workers))

    for one, two in zip(epoch(0), epoch(2), strict=True):
        assert one.ids == two.ids
        assert torch.equal(one["frame"], two["frame"])


def test_incomplete_batches_are_dropped_unless_there_is_no_other(world) -> None:
    data = dataset(world, world.clips)
    sizes = [len(batch) for batch in loader(data, EpochSampler(len(data), 0), 20)]
    assert sizes == [20, 20]
    assert [len(b) for b in loader(data, EpochSampler(len(data), 0), 1000)] == [len(data)]


def test_labels_are_indices_in_the_given_order(world) -> None:
    data = dataset(world, world.clips)
    for clip, index in zip(data.clips, data.labels, strict=True):
        expected = clip.labels.get("emotion")
        assert index == (feature_world.LABELS.index(expected) if expected else UNLABELLED)
    assert UNLABELLED in data.labels


def test_features_keep_their_values(world) -> None:
    stores = ClipStores(world.stores, [FEATURES])
    before = stores.rows("clip-00")["visual_features"]["features"]
    stores.keep(["clip-00"])
    after = stores.rows("clip-00")["visual_features"]["features"]
    assert after.dtype == np.float16
    np.testing.assert_array_equal(before, after)
