"""Published numbers agree with each other; a whole copy is silent, one clip less is told."""

import pytest

from expressway.core.manifest import split_title
from expressway.data.importers import class_schemes, facts
from expressway.data.importers.compare import differences
from expressway.data.importers.labels import MAFW_MULTIPLE
from expressway.data.importers.write import Found
from expressway.language.emotions import BASIC, ELEVEN, MAFW_ORDER

ALL = [
    facts.DFEW,
    facts.FERV39K,
    facts.MAFW,
    facts.AFEW,
    facts.CAERS,
    facts.RAFDB,
    facts.AFFECTNET,
    facts.FERPLUS,
]

# Training, known and unknown test clips of HESP's 20 splits of MAFW (hesp.md, section 6.1).
HESP_SIZES = [
    *[(960, 240, 782), (1631, 408, 614), (467, 117, 905), (1477, 369, 653), (628, 157, 865)],
    *[(1972, 494, 528), (1771, 442, 580), (2193, 549, 473), (2609, 652, 370), (2897, 724, 298)],
    *[(1835, 459, 563), (2000, 501, 521), (1103, 275, 747), (2288, 573, 449), (2908, 728, 294)],
    *[(3580, 895, 127), (3438, 859, 163), (3707, 927, 95), (2819, 704, 318), (2331, 582, 440)],
]


def copy_of(published):
    """Return a copy with the published parts: a clip per place, classes as far as known."""
    rows, splits = [], []
    for part in published.parts:
        names = [name for name, count in part.classes.items() for _ in range(count)]
        for index in range(part.clips):
            name = f"{part.split}-{part.part}-{index}"
            rows.append({"id": name, "emotion": names[index] if names else ""})
            splits.append(
                {
                    "clip_id": name,
                    "scheme": part.scheme,
                    "split": part.split,
                    "part": part.part,
                }
            )
    return Found(None, rows, splits)


@pytest.mark.parametrize("published", ALL, ids=lambda published: published.title)
def test_a_whole_copy_is_silent_and_one_clip_less_is_told(published):
    found = copy_of(published)
    assert differences(found, published) == []
    gone = found.splits.pop()
    told = differences(found, published)
    part = published.parts[-1]
    assert told[0] == (
        f"{split_title(gone['scheme'], gone['split'])} {gone['part']}: "
        f"{part.clips - 1} clips, published {part.clips}"
    )
    assert len(told) == (3 if part.classes else 2)


def test_a_swap_of_two_labels_is_told():
    found = copy_of(facts.RAFDB)
    found.rows[0]["emotion"] = "fear"
    assert differences(found, facts.RAFDB)[0] == (
        "official test: happiness 1184 (published 1185), fear 75 (published 74)"
    )


def test_parts_and_classes_add_up():
    assert sum(facts.DFEW.classes["emotion"].values()) == 11697
    assert sum(facts.MAFW.classes["emotion"].values()) == 9172
    assert sum(facts.MAFW.classes["compound"].values()) == 4058
    for published in (facts.DFEW, facts.MAFW):
        tests = [p.clips for p in published.parts if p.part == "test" and p.scheme != "hesp"]
        assert sum(tests) == published.labelled["emotion"]
    train, test = facts.FERV39K.parts
    assert (train.clips, test.clips) == (31088, 7847)
    assert [part.clips for part in facts.HESP_PARTS] == [4088, 1022]


def test_hesp_splits_have_the_published_sizes():
    known = class_schemes.hesp("mafw", ELEVEN, "hesp", ["hesp"]).known
    train, test = (part.classes for part in facts.HESP_PARTS)
    sizes = [
        (
            sum(train[name] for name in names),
            sum(test[name] for name in names),
            1022 - sum(test[name] for name in names),
        )
        for names in known.values()
    ]
    assert list(known) == [f"open-{index:02d}" for index in range(20)]
    assert sizes == HESP_SIZES


@pytest.mark.parametrize(
    ("dataset", "names", "counts"),
    [("afew", BASIC, (2, 3, 4, 5)), ("dfew", BASIC, (2, 3, 4, 5)), ("mafw", ELEVEN, (3, 5, 6, 8))],
)
def test_hesp_splits_have_five_of_each_size_in_the_order_of_the_data_set(dataset, names, counts):
    known = class_schemes.hesp(dataset, names, "x", ["x"]).known
    assert [len(k) for k in known.values()] == [count for count in counts for _ in range(5)]
    assert all(k == sorted(k, key=names.index) for k in known.values())
    assert len({tuple(k) for k in known.values()}) == 20


def test_the_first_hesp_splits_by_name():
    afew = class_schemes.hesp("afew", BASIC, "x", ["x"]).known["open-00"]
    assert afew == ["happiness", "sadness"]
    mafw = class_schemes.hesp("mafw", ELEVEN, "x", ["x"]).known["open-00"]
    assert set(mafw) == {"disappointment", "sadness", "surprise"}


def test_leave_one_out_leaves_one_out():
    known = class_schemes.leave_one_out(BASIC, "folds", ["fold1"]).known
    assert known["without-anger"] == [name for name in BASIC if name != "anger"]
    assert len(known) == 7


def test_names_of_mafw():
    assert len(set(MAFW_MULTIPLE)) == 32
    assert sorted(MAFW_ORDER) == sorted(ELEVEN)
