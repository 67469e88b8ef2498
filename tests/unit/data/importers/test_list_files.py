"""List files of DFER-CLIP and Exp-CLIP: folders of other machines, numbers of classes, counts."""

import pytest
from official_layouts import BASIC, frames, lines

from expressway.core.errors import ManifestError
from expressway.data.importers import list_files
from expressway.data.importers.write import write

CLUSTER = "/data/home/someone/sets"


@pytest.fixture
def root(tmp_path):
    for index in range(7):
        frames(tmp_path / f"clips/DFEW_Frame_Face/{index:05d}", index, 2)
    return tmp_path / "clips"


def make(tmp_path, name, rows):
    path = tmp_path / name
    lines(path, rows)
    return path


def row(index, count=2, prefix=CLUSTER):
    return f"{prefix}/DFEW_Frame_Face/{index:05d} {count} {index}"


def test_folds_from_the_names_of_the_files_and_classes_from_numbers(tmp_path, root):
    files = [
        make(tmp_path, "DFEW_set_1_train.txt", [row(i) for i in range(5)]),
        make(tmp_path, "DFEW_set_1_test.txt", [row(i) for i in range(5, 7)]),
    ]
    found = list_files.scan(files, root)
    assert [r["path"] for r in found.rows] == [f"DFEW_Frame_Face/{i:05d}" for i in range(7)]
    assert [r["emotion"] for r in found.rows] == list(BASIC)
    assert {(s["scheme"], s["split"]) for s in found.splits} == {("folds", "fold1")}
    assert [s["part"] for s in found.splits] == ["train"] * 5 + ["test"] * 2
    assert "folds fold1 test: 2 clips, published 2341" in found.warnings
    assert write("dfew", found, 256).added == 7


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("FERV39k_test.txt", ("official", "official", "test")),
        ("AFEW_validation.txt", ("official", "official", "validation")),
        ("MAFW_set_3_train.txt", ("single", "fold3", "train")),
        ("mine_set_2_val.txt", ("folds", "fold2", "validation")),
    ],
)
def test_places(tmp_path, root, name, place):
    (split, *_) = list_files.scan([make(tmp_path, name, [row(0)])], root).splits
    assert (split["scheme"], split["split"], split["part"]) == place


def test_beginnings_are_rewritten(tmp_path, root):
    (root / "DFEW_Frame_Face").rename(root / "faces")
    path = make(tmp_path, "DFEW_set_1_test.txt", [row(0), row(1)])
    pair = f"{CLUSTER}/DFEW_Frame_Face=faces"
    found = list_files.scan([path], root, [pair])
    assert [r["path"] for r in found.rows] == ["faces/00000", "faces/00001"]
    with pytest.raises(ManifestError, match="begins with none of the rewritten ones: /?elsewhere"):
        list_files.scan([path], root, ["/elsewhere=faces"])
    with pytest.raises(ManifestError, match="expected OLD=NEW"):
        list_files.scan([path], root, ["faces"])


def test_counts_that_differ_from_the_disk_are_told(tmp_path, root):
    path = make(tmp_path, "DFEW_set_1_test.txt", [row(0), row(1, 16)])
    told = list_files.scan([path], root).warnings
    assert told[0] == (
        "1 clip(s) have another number of frames than listed: "
        "DFEW_Frame_Face/00001 (16 listed, 2 on disk)"
    )


@pytest.mark.parametrize(("largest", "count"), [(6, 7), (7, 8), (8, 11), (10, 11)])
def test_as_many_classes_as_the_numbers_ask_for(tmp_path, root, largest, count):
    path = make(tmp_path, "x_test.txt", [row(0), f"{CLUSTER}/DFEW_Frame_Face/00001 2 {largest}"])
    assert len(list_files.scan([path], root).labels["emotion"]) == count


def test_a_number_that_no_class_has(tmp_path, root):
    path = make(tmp_path, "x_test.txt", [row(0), f"{CLUSTER}/DFEW_Frame_Face/00001 2 11"])
    with pytest.raises(ManifestError, match=r"x_test.txt, line 2: class 11; .* from 0 to 10"):
        list_files.scan([path], root)


def test_a_list_without_part_in_its_name(tmp_path, root):
    with pytest.raises(ManifestError, match="the name of a list tells the part"):
        list_files.scan([make(tmp_path, "DFEW.txt", [row(0)])], root)


def test_lines_of_another_form(tmp_path, root):
    path = make(tmp_path, "x_test.txt", [row(0), "a.mp4,3", "b 1"])
    with pytest.raises(ManifestError) as caught:
        list_files.scan([path], root)
    assert "line 2: expected 'folder frames class'; found 'a.mp4,3'" in str(caught.value)
    assert "line 3" in str(caught.value)


def test_another_root(tmp_path, root):
    path = make(tmp_path, "x_test.txt", [row(0)])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ManifestError, match="none of the 1 listed clips is here"):
        list_files.scan([path], tmp_path / "empty")


def test_a_known_set_has_its_own_classes_only(tmp_path, root):
    odd = make(tmp_path, "DFEW_set_1_test.txt", [row(0), f"{CLUSTER}/DFEW_Frame_Face/00001 2 9"])
    with pytest.raises(ManifestError, match="line 2: class 9; expected a number from 0 to 6"):
        list_files.scan([odd], root)
    other = make(tmp_path, "mine_set_1_test.txt", [row(0), f"{CLUSTER}/DFEW_Frame_Face/00001 2 9"])
    assert list_files.scan([other], root).rows[1]["emotion"] == "helplessness"
