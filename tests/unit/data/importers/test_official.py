"""Each official layout becomes the right rows, names, splits and captions; odd copies are told."""

from importlib import import_module
from pathlib import Path

import pytest
from official_layouts import (
    BASIC,
    EIGHT,
    ELEVEN,
    LAYOUTS,
    affectnet_lists,
    frames,
    hesp_lists,
    image,
    lines,
)

from expressway.core.config import read_yaml, validate
from expressway.core.errors import ManifestError
from expressway.core.manifest import DatasetConfig, read_manifest, read_splits
from expressway.data.importers.write import write


def scan(name, root, **options):
    return import_module(f"expressway.data.importers.{name}").scan(root, **options)


def read(name):
    config = validate(DatasetConfig, read_yaml(Path(f"config/datasets/{name}.yaml")))
    clips = read_manifest(Path(config.manifest), config)
    return config, clips, read_splits(Path(config.splits), clips)


def check(name, truth, root, **options):
    """Import a generated folder and compare everything that was written with what it holds."""
    done = write(name, scan(name, root, **options), 256)
    config, clips, splits = read(name)
    assert done.added == len(truth)
    assert {c.id: c.path for c in clips} == {i: t.path for i, t in truth.items()}
    assert {c.id: dict(c.labels) for c in clips} == {i: t.labels for i, t in truth.items()}
    assert {c.id: c.captions for c in clips} == {
        i: (t.caption,) if t.caption else () for i, t in truth.items()
    }
    assert {c.id: c.caption_zh for c in clips} == {i: t.caption_zh for i, t in truth.items()}
    found = {(r.clip_id, r.scheme, r.split): r.part for r in splits}
    assert found == {(i, *place): part for i, t in truth.items() for place, part in t.parts.items()}
    assert not Path(config.manifest).is_absolute()
    assert all(c.sha256 for c in clips)
    return config, clips


@pytest.mark.parametrize("name", LAYOUTS)
def test_layout(name, tmp_path):
    truth = LAYOUTS[name](tmp_path / name)
    config, clips = check(name, truth, tmp_path / name)
    kinds = {"dfew": "frames", "ferv39k": "frames", "mafw": "video", "afew": "video"}
    assert {c.kind for c in clips} == {kinds.get(name, "image")}
    orders = {"mafw": ELEVEN, "affectnet": EIGHT, "ferplus": EIGHT}
    assert tuple(config.labels["emotion"]) == orders.get(name, BASIC)


def test_the_first_release_of_affectnet(tmp_path):
    check("affectnet", affectnet_lists(tmp_path / "a"), tmp_path / "a")


def test_rows_stand_in_the_order_of_the_clips(tmp_path):
    LAYOUTS["dfew"](tmp_path / "dfew", 12)
    found = scan("dfew", tmp_path / "dfew")
    assert [row["id"] for row in found.rows] == [f"{i:05d}" for i in range(1, 13)]
    assert "frames per clip: 1 to 11, median 2" in found.notes


def test_differences_from_published_numbers_are_told(tmp_path):
    LAYOUTS["dfew"](tmp_path / "dfew")
    told = scan("dfew", tmp_path / "dfew").warnings
    assert "folds fold1 test: 5 clips, published 2341" in told
    assert "folds fold5 train: 17 clips, published 9361" in told
    assert "emotion, all clips: 21 clips, published 11697" in told
    (classes,) = [line for line in told if line.startswith("emotion, all clips: happiness")]
    assert "happiness 3 (published 2445)" in classes
    assert "fear 3 (published 902)" in classes
    assert told[-1].startswith("published numbers: the official lists")


def test_missing_clips_are_named_and_keep_their_rows(tmp_path):
    truth = LAYOUTS["dfew"](tmp_path / "dfew")
    for name in ("00003", "00012"):
        (tmp_path / "dfew" / truth[name].path).rename(tmp_path / name)
    (tmp_path / "dfew" / truth["00005"].path / "Thumbs.db").write_bytes(b"x")
    for path in (tmp_path / "dfew" / truth["00007"].path).iterdir():
        path.unlink()
    found = scan("dfew", tmp_path / "dfew")
    assert found.warnings[:3] == [
        "not in Clip/clip_224x224: 2 of 21 listed clips (00003, 00012); their rows are kept, so "
        "that they count as lost",
        "1 folder(s) hold no images: 00007",
        "1 folder(s) hold files that are no images: 00005",
    ]
    write("dfew", found, 256)
    row = next(c for c in read("dfew")[1] if c.id == "00012")
    assert (row.path, row.kind, row.sha256) == ("Clip/clip_224x224/00012", "frames", None)


def test_importing_more_appends(tmp_path):
    LAYOUTS["caers"](tmp_path / "caers")
    write("caers", scan("caers", tmp_path / "caers"), 256)
    before = Path("data/caers/manifest.csv").read_text()
    LAYOUTS["caers"](tmp_path / "caers", 32)
    done = write("caers", scan("caers", tmp_path / "caers"), 256)
    assert (done.added, done.kept) == (4, 28)
    assert Path("data/caers/manifest.csv").read_text().startswith(before)


@pytest.mark.parametrize("name", LAYOUTS)
def test_another_layout_shows_what_was_expected_and_found(name, tmp_path):
    root = tmp_path / "odd"
    (root / "holiday").mkdir(parents=True)
    (root / "notes.txt").write_text("x")
    with pytest.raises(ManifestError) as caught:
        scan(name, root)
    text = str(caught.value)
    assert f"{root} is not laid out as" in text
    assert "expected below it:" in text
    assert "holiday/  notes.txt" in text


@pytest.mark.parametrize("name", LAYOUTS)
def test_no_such_root(name, tmp_path):
    with pytest.raises(ManifestError, match="no such folder"):
        scan(name, tmp_path / "nowhere")


def test_a_missing_list_shows_those_that_are_there(tmp_path):
    LAYOUTS["dfew"](tmp_path / "dfew")
    (tmp_path / "dfew/EmoLabel_DataSplit/test(single-labeled)/set_4.csv").unlink()
    with pytest.raises(ManifestError) as caught:
        scan("dfew", tmp_path / "dfew")
    assert "no EmoLabel_DataSplit/test(single-labeled)/set_4.csv" in str(caught.value)
    assert "set_1.csv  set_2.csv  set_3.csv  set_5.csv" in str(caught.value)


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_shuffled_list_is_told_by_its_lines(tmp_path):
    LAYOUTS["dfew"](tmp_path / "dfew")
    lists = tmp_path / "dfew/EmoLabel_DataSplit"
    edit(lists / "train(single-labeled)/set_2.csv", "\n8,1", "\n8,3")
    edit(lists / "test(single-labeled)/set_3.csv", "\n13,6", "\n12,5")
    with pytest.raises(ManifestError) as caught:
        scan("dfew", tmp_path / "dfew")
    text = str(caught.value)
    assert "set_2.csv, line " in text
    assert "emotion of '00008' is neutral here and happiness in" in text
    assert "part in fold3 of '00012' is test here and train in" in text


@pytest.mark.parametrize("label", ["0", "8", "happy"])
def test_labels_out_of_range(tmp_path, label):
    LAYOUTS["dfew"](tmp_path / "dfew")
    path = tmp_path / "dfew/EmoLabel_DataSplit/train(single-labeled)/set_1.csv"
    edit(path, "\n8,1", f"\n8,{label}")
    with pytest.raises(ManifestError, match=rf"line \d+: label '{label}'; expected .* 1 to 7"):
        scan("dfew", tmp_path / "dfew")


def test_the_wrong_folder_of_clips(tmp_path):
    LAYOUTS["dfew"](tmp_path / "dfew")
    frames(tmp_path / "dfew/Clip/other/99999", 1, 1)
    with pytest.raises(ManifestError, match="none of the 21 listed clips is here, such as 00001"):
        scan("dfew", tmp_path / "dfew", media="Clip/other")


def test_another_place_of_clips_is_offered_and_taken(tmp_path):
    LAYOUTS["dfew"](tmp_path / "dfew")
    (tmp_path / "dfew/Clip/original").mkdir()
    for number in range(1, 22):
        (tmp_path / f"dfew/Clip/original/{number}.mp4").write_bytes(b"%d" % number)
    assert (
        "also there, to be chosen with --media: Clip/original"
        in scan("dfew", tmp_path / "dfew").notes
    )
    row = scan("dfew", tmp_path / "dfew", media="Clip/original").rows[0]
    assert (row["id"], row["path"], row["kind"]) == ("00001", "Clip/original/1.mp4", "video")


def test_ferv39k_lists_whose_labels_are_not_those_of_the_folders(tmp_path):
    LAYOUTS["ferv39k"](tmp_path / "f")
    path = tmp_path / "f/4_setups/All_scenes/test_All.csv"
    edit(path, "Action/Happy/0000 Happy", "Action/Happy/0000 Sad")
    told = scan("ferv39k", tmp_path / "f").warnings[-1]
    assert told.startswith("1 clip(s) lie in the folder of another emotion than their label")
    assert "Action/Happy/0000 is labelled sadness" in told


def test_folders_are_found_under_other_spellings(tmp_path):
    truth = LAYOUTS["mafw"](tmp_path / "m")
    (tmp_path / "m/Train & Test Set").rename(tmp_path / "m/Train_Test_Set")
    for kind in ("single", "compound"):
        for lists in ("no_caption", "with_caption"):
            folder = tmp_path / "m/Train_Test_Set" / kind / lists
            folder.rename(folder.with_name(f"{lists}_new"))
    check("mafw", truth, tmp_path / "m")


def test_mafw_captions_in_utf8(tmp_path):
    truth = LAYOUTS["mafw"](tmp_path / "m")
    for path in (tmp_path / "m/Train & Test Set").rglob("with_caption/*/*.txt"):
        path.write_text(path.read_text("gbk"), "utf-8")
    check("mafw", truth, tmp_path / "m")


def test_mafw_without_compound_lists(tmp_path):
    LAYOUTS["mafw"](tmp_path / "m")
    (tmp_path / "m/Train & Test Set/compound").rename(tmp_path / "away")
    found = scan("mafw", tmp_path / "m")
    assert list(found.labels) == ["emotion"]
    assert {row["scheme"] for row in found.splits} == {"single"}
    assert set(found.class_schemes) == {"open", "seven", "without"}


def test_mafw_has_43_compound_classes_and_a_pooled_one(tmp_path):
    LAYOUTS["mafw"](tmp_path / "m")
    labels = scan("mafw", tmp_path / "m").labels
    assert len(labels["compound"]) == 43
    assert labels["compound"][:11] == list(ELEVEN)
    assert labels["basic_or_compound"] == [*BASIC, "compound"]


def test_an_unknown_compound_class(tmp_path):
    LAYOUTS["mafw"](tmp_path / "m")
    path = tmp_path / "m/Train & Test Set/compound/no_caption/set_1/train.txt"
    edit(path, "00003.mp4 anger_disgust", "00003.mp4 happiness_sadness")
    with pytest.raises(ManifestError, match="none of MAFW's 43 compound classes"):
        scan("mafw", tmp_path / "m")


def test_hesp_lists_become_a_scheme(tmp_path):
    truth = LAYOUTS["mafw"](tmp_path / "m")
    lists, parts = hesp_lists(tmp_path, truth)
    for name, part in parts.items():
        truth[name].parts["hesp", "hesp"] = part
    config, _ = check("mafw", truth, tmp_path / "m", hesp=lists)
    assert config.class_schemes["open_hesp"].scheme == "hesp"
    told = scan("mafw", tmp_path / "m", hesp=lists).warnings
    assert "hesp train: 8 clips, published 4088" in told


def test_hesp_lists_of_other_labels_are_refused(tmp_path):
    truth = LAYOUTS["mafw"](tmp_path / "m")
    lists, _ = hesp_lists(tmp_path, truth)
    edit(lists[1], "00001 3 0 Happiness", "00001 3 0 Angry")
    with pytest.raises(ManifestError, match="emotion of '00001' is anger here and happiness in"):
        scan("mafw", tmp_path / "m", hesp=lists)


def test_afew_as_folders_of_frames(tmp_path):
    root = tmp_path / "afew"
    frames(root / "AFEW_Face/train/Happiness/1_1_002916200", 1, 2)
    frames(root / "AFEW_Face/validation/3_Anger/1_1_000000001", 2, 2)
    rows = scan("afew", root).rows
    assert [(row["path"], row["kind"], row["emotion"]) for row in rows] == [
        ("AFEW_Face/train/Happiness/1_1_002916200", "frames", "happiness"),
        ("AFEW_Face/validation/3_Anger/1_1_000000001", "frames", "anger"),
    ]


@pytest.mark.parametrize(
    ("folder", "expected"),
    [("Hapy", "did you mean 'happy'"), ("3", "is a number, and data sets number their classes")],
)
def test_folders_that_are_no_classes(tmp_path, folder, expected):
    frames(tmp_path / f"afew/train/{folder}/1", 1, 1)
    with pytest.raises(ManifestError, match=expected):
        scan("afew", tmp_path / "afew")


def test_images_without_a_majority_are_counted(tmp_path):
    LAYOUTS["ferplus"](tmp_path / "f", 24)
    notes = scan("ferplus", tmp_path / "f").notes
    assert "4 image(s) without a majority for an emotion are left out" in notes


def test_text_that_is_neither_utf8_nor_gbk(tmp_path):
    LAYOUTS["mafw"](tmp_path / "m")
    path = tmp_path / "m/Train & Test Set/single/no_caption/set_1/train.txt"
    path.write_bytes(b"00001.mp4 \xff\xff\n")
    with pytest.raises(ManifestError, match="neither UTF-8 nor GBK"):
        scan("mafw", tmp_path / "m")


def test_lists_need_their_columns(tmp_path):
    affectnet_lists(tmp_path / "a")
    lines(tmp_path / "a/training.csv", ["file,label", "0/0001.jpg,3"])
    with pytest.raises(
        ManifestError, match="missing subDirectory_filePath, expression; found file, label"
    ):
        scan("affectnet", tmp_path / "a")


def test_parts_that_are_not_there_are_left_out(tmp_path):
    truth = LAYOUTS["ferplus"](tmp_path / "f")
    (tmp_path / "f/data/FER2013Train").rename(tmp_path / "away")
    rest = {i: t for i, t in truth.items() if "Train" not in t.path}
    check("ferplus", rest, tmp_path / "f")
    for generate in (LAYOUTS["affectnet"], affectnet_lists):
        root = tmp_path / generate.__name__
        truth = generate(root)
        for path in (root / "train_set", root / "training.csv"):
            if path.exists():
                path.rename(tmp_path / f"away-{path.name}")
        found = scan("affectnet", root)
        assert {row["id"] for row in found.rows} == {
            i for i, t in truth.items() if "train" not in t.parts.values()
        }


def test_lines_of_mafw_without_captions(tmp_path):
    truth = LAYOUTS["mafw"](tmp_path / "m")
    path = tmp_path / "m/Train & Test Set/single/with_caption/set_1/train.txt"
    for name in ("00002", "00003"):
        truth[name].caption = truth[name].caption_zh = ""
    for each in (tmp_path / "m/Train & Test Set").rglob("with_caption/*/*.txt"):
        rows = each.read_text("gbk").splitlines()
        short = {"00002": 2, "00003": 3}
        cut = ["\t".join(row.split("\t")[: short.get(row[:5], 4)]) for row in rows]
        lines(each, cut, "gbk")
    check("mafw", truth, tmp_path / "m")
    path.write_text("00001.mp4 happiness and more\n")
    with pytest.raises(ManifestError, match="line 1: expected a clip, its label, and captions"):
        scan("mafw", tmp_path / "m")


def test_a_later_import_fills_empty_labels_and_keeps_what_stands(tmp_path):
    LAYOUTS["mafw"](tmp_path / "m")
    compound = tmp_path / "m/Train & Test Set/compound"
    compound.rename(tmp_path / "away")
    write("mafw", scan("mafw", tmp_path / "m"), 256)
    manifest = Path("data/mafw/manifest.csv")
    manifest.write_text(manifest.read_text().replace(",happiness,", ",surprise,", 1))
    before = [clip.id for clip in read("mafw")[1]]
    (tmp_path / "away").rename(compound)
    write("mafw", scan("mafw", tmp_path / "m"), 256)
    _, clips, _ = read("mafw")
    assert [clip.id for clip in clips[: len(before)]] == before
    assert clips[0].labels == {"emotion": "surprise"}
    assert clips[1].labels == {
        "emotion": "sadness",
        "compound": "sadness",
        "basic_or_compound": "sadness",
    }


@pytest.mark.parametrize("media", ["/data", "../elsewhere"])
def test_media_stays_below_the_root(tmp_path, media):
    LAYOUTS["dfew"](tmp_path / "dfew")
    with pytest.raises(ManifestError, match="--media: "):
        scan("dfew", tmp_path / "dfew", media=media)


def test_a_folder_inside_a_folder_of_the_same_name(tmp_path):
    truth = LAYOUTS["ferv39k"](tmp_path / "f")
    outer = tmp_path / "f/2_ClipsforFaceCrop"
    outer.rename(tmp_path / "inner")
    outer.mkdir()
    (tmp_path / "inner").rename(outer / outer.name)
    found = scan("ferv39k", tmp_path / "f")
    assert {row["path"] for row in found.rows} == {f"{outer.name}/{t.path}" for t in truth.values()}
    assert not [note for note in found.notes if "--media" in note]


@pytest.mark.parametrize("name", ["rafdb", "affectnet", "ferplus"])
def test_copies_in_folders_of_classes(tmp_path, name):
    image(tmp_path / "a/SET_Face/test/0_Happiness/x.jpg", 1)
    image(tmp_path / "a/SET_Face/test/3_Anger/y.jpg", 2)
    found = scan(name, tmp_path / "a")
    assert [(row["path"], row["emotion"]) for row in found.rows] == [
        ("SET_Face/test/0_Happiness/x.jpg", "happiness"),
        ("SET_Face/test/3_Anger/y.jpg", "anger"),
    ]
    assert {(s["split"], s["part"]) for s in found.splits} >= {("official", "test")}


def test_numbered_folders_of_classes_are_refused(tmp_path):
    image(tmp_path / "a/test/1/x.jpg", 1)
    with pytest.raises(ManifestError, match="class '1' is a number, and data sets number"):
        scan("rafdb", tmp_path / "a")


def test_a_class_that_the_data_set_has_not(tmp_path):
    image(tmp_path / "a/test/Contempt/x.jpg", 1)
    with pytest.raises(ManifestError, match="class contempt is none of this data set's"):
        scan("rafdb", tmp_path / "a")


def test_a_split_that_contradicts_the_one_that_stands_writes_nothing(tmp_path):
    LAYOUTS["caers"](tmp_path / "c", 8)
    write("caers", scan("caers", tmp_path / "c"), 256)
    before = {path: path.read_text() for path in Path("data/caers").iterdir()}
    LAYOUTS["caers"](tmp_path / "c", 12)
    found = scan("caers", tmp_path / "c")
    found.splits[0]["part"] = "test" if found.splits[0]["part"] == "train" else "train"
    with pytest.raises(ManifestError, match="the parts of a split must not overlap"):
        write("caers", found, 256)
    assert {path: path.read_text() for path in Path("data/caers").iterdir()} == before


def test_another_sets_tree_is_no_afew(tmp_path):
    LAYOUTS["caers"](tmp_path / "caers")
    with pytest.raises(ManifestError) as caught:
        scan("afew", tmp_path / "caers")
    assert "is not laid out as AFEW is: no clips in folders of classes" in str(caught.value)
    LAYOUTS["afew"](tmp_path / "afew")
    with pytest.raises(ManifestError, match="is not laid out as CAER-S is: no clips in folders"):
        scan("caers", tmp_path / "afew")


def test_folders_that_are_no_classes_show_the_layout(tmp_path):
    LAYOUTS["affectnet"](tmp_path / "a")
    with pytest.raises(ManifestError) as caught:
        scan("rafdb", tmp_path / "a")
    text = str(caught.value)
    assert "is not laid out as RAF-DB (basic) is: no clips in folders of classes" in text
    assert "unknown class 'images'" in text
    assert "expected below it:" in text
    assert "annotations/  images/" in text
