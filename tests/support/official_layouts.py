"""Small folders laid out as the owners of data sets ship them: tens of clips, drawn noise in them.

Each function fills a root and returns what an importer should find: id -> class names and places.
"""

import csv
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

BASIC = ("happiness", "sadness", "neutral", "anger", "surprise", "disgust", "fear")
EIGHT = (*BASIC, "contempt")
ELEVEN = (*EIGHT, "anxiety", "helplessness", "disappointment")
WORDS = ("Happy", "Sad", "Neutral", "Angry", "Surprise", "Disgust", "Fear")
SCENES = ("Action", "DailyLife", "War")


@dataclass
class Truth:
    """What a generated clip is: labels by column, part by (scheme, split)."""

    path: str
    labels: dict[str, str] = field(default_factory=dict)
    parts: dict[tuple[str, str], str] = field(default_factory=dict)
    caption: str = ""
    caption_zh: str = ""


def image(path: Path, seed: int, side: int = 16) -> None:
    """Write an image that no other seed gives."""
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)


def frames(folder: Path, seed: int, count: int) -> None:
    """Write frames named 1.jpg, 2.jpg, ... 10.jpg: without zeros in front."""
    for number in range(1, count + 1):
        image(folder / f"{number}.jpg", seed * 1000 + number)


def lines(path: Path, rows, encoding: str = "utf-8") -> None:
    """Write lines without a final newline, as some official lists end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("\n".join(rows).encode(encoding))


def folds(scheme: str, index: int) -> dict[tuple[str, str], str]:
    """Return the five parts of a clip that is tested in fold ``index % 5 + 1``."""
    return {
        (scheme, f"fold{fold}"): "test" if index % 5 + 1 == fold else "train"
        for fold in range(1, 6)
    }


def dfew(root: Path, count: int = 21) -> dict[str, Truth]:
    """Frames in ``Clip/clip_224x224``, lists in ``EmoLabel_DataSplit``."""
    found = {}
    for index in range(count):
        name = f"{index + 1:05d}"
        found[name] = Truth(
            f"Clip/clip_224x224/{name}", {"emotion": BASIC[index % 7]}, folds("folds", index)
        )
        frames(root / found[name].path, index, 11 if index == 0 else 1 + index % 3)
    for fold in range(1, 6):
        for part in ("train", "test"):
            rows = [
                f"{int(name)},{BASIC.index(truth.labels['emotion']) + 1}"
                for name, truth in found.items()
                if truth.parts["folds", f"fold{fold}"] == part
            ]
            folder = root / "EmoLabel_DataSplit" / f"{part}(single-labeled)"
            lines(folder / f"set_{fold}.csv", ["video_name,label", *reversed(rows)])
    return found


def ferv39k(root: Path, count: int = 24) -> dict[str, Truth]:
    """Frames below scene and emotion, two lists of names."""
    found = {}
    for index in range(count):
        scene, word = SCENES[index % 3], WORDS[index % 7]
        key = f"{scene}/{word}/{index:04d}"
        part = "test" if index % 4 == 0 else "train"
        found[key.replace("/", "--")] = Truth(
            f"2_ClipsforFaceCrop/{key}",
            {"emotion": BASIC[index % 7]},
            {("official", "official"): part},
        )
        frames(root / "2_ClipsforFaceCrop" / key, index, 2)
    for part in ("train", "test"):
        rows = [
            f"{'/'.join(t.path.split('/')[1:])} {t.path.split('/')[2]}"
            for t in found.values()
            if t.parts["official", "official"] == part
        ]
        lines(root / "4_setups/All_scenes" / f"{part}_All.csv", rows)
    return found


MULTIPLE = ("anger_disgust", "sadness_anxiety_helplessness", "helplessness_disappointment")
CAPTION = ("一个女生眉头紧蹙。", "A girl shouts. The deep frown and the lowered lip corners.")


def mafw(root: Path, count: int = 36) -> dict[str, Truth]:
    """Videos in ``data/clips``; single and compound lists with and without captions, GBK."""
    found = {}
    for index in range(count):
        name = f"{index + 1:05d}"
        truth = found[name] = Truth(f"data/clips/{name}.mp4")
        if index % 6 != 5:
            truth.labels["emotion"] = ELEVEN[index % 11]
            truth.parts |= folds("single", index)
            if truth.labels["emotion"] != "neutral":
                truth.caption_zh, truth.caption = (f"{text} {index}" for text in CAPTION)
        if index % 3 == 2:
            truth.labels["compound"] = MULTIPLE[index // 3 % 3]
            truth.parts |= folds("compound", index + 1)
        elif index % 3 == 1:
            truth.labels["compound"] = ELEVEN[index % 11]
            truth.parts |= folds("compound", index + 1)
        pooled = truth.labels.get("compound")
        if pooled in (*BASIC, *MULTIPLE):
            truth.labels["basic_or_compound"] = "compound" if pooled in MULTIPLE else pooled
        path = root / truth.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    for kind, task in (("single", "emotion"), ("compound", "compound")):
        _mafw_lists(root / "Train & Test Set" / kind, kind, task, found)
    return found


def _mafw_lists(folder: Path, kind: str, task: str, found: dict[str, Truth]) -> None:
    for fold in range(1, 6):
        for part in ("train", "test"):
            clips = [
                (name, truth)
                for name, truth in found.items()
                if truth.parts.get((kind, f"fold{fold}")) == part
            ]
            plain = [f"{name}.mp4 {truth.labels[task]}" for name, truth in clips]
            told = [
                "\t".join(
                    [
                        f"{n}.mp4",
                        t.labels[task],
                        *(text or "-" for text in (t.caption_zh, t.caption)),
                    ]
                )
                for n, t in clips
            ]
            lines(folder / "no_caption" / f"set_{fold}" / f"{part}.txt", plain)
            lines(folder / "with_caption" / f"set_{fold}" / f"{part}.txt", told, "gbk")


def hesp_lists(folder: Path, clips: dict[str, Truth]) -> tuple[list[Path], dict[str, str]]:
    """Write HESP's two lists over the first clips of MAFW; return them and id -> part."""
    names = [name for name, truth in clips.items() if "emotion" in truth.labels][:10]
    parts = {name: "test" if index % 5 == 0 else "train" for index, name in enumerate(names)}
    paths = []
    for part in ("train", "test"):
        rows = [
            f"/home/someone/faces/{name} 3 0 {clips[name].labels['emotion'].capitalize()}"
            for name in names
            if parts[name] == part
        ]
        paths.append(folder / f"mafw_{part}.txt")
        lines(paths[-1], rows)
    return paths, parts


def afew(root: Path, count: int = 21) -> dict[str, Truth]:
    """Videos in ``Train_AFEW`` and ``Val_AFEW`` by class, aligned faces beside the classes."""
    found = {}
    for index in range(count):
        part = "validation" if index % 3 == 0 else "train"
        folder = "Val_AFEW" if part == "validation" else "Train_AFEW"
        path = f"{folder}/{WORDS[index % 7]}/{index:09d}.avi"
        found[path.removesuffix(".avi").replace("/", "--")] = Truth(
            path,
            {"emotion": BASIC[index % 7]},
            {
                ("official", "official"): part,
                ("published", "published"): "test" if part == "validation" else "train",
            },
        )
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(path.encode())
    image(root / "Train_AFEW/AlignedFaces_LBPTOP_Points/Faces/000000001/1.jpg", 0)
    return found


def caers(root: Path, count: int = 28) -> dict[str, Truth]:
    """Images below part and class."""
    found = {}
    for index in range(count):
        part = "test" if index % 4 == 0 else "train"
        word = "Anger" if WORDS[index % 7] == "Angry" else WORDS[index % 7]
        path = f"{part}/{word}/{index:04d}.png"
        found[path.removesuffix(".png").replace("/", "--")] = Truth(
            path, {"emotion": BASIC[index % 7]}, {("official", "official"): part}
        )
        image(root / path, index)
    return found


RAF_ORDER = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")


def rafdb(root: Path, count: int = 21) -> dict[str, Truth]:
    """Aligned images, and one list of both parts whose classes are numbered from 1."""
    found, rows = {}, []
    for index in range(count):
        part = "test" if index % 3 == 0 else "train"
        name = f"{part}_{index:05d}"
        path = f"Image/aligned/{name}_aligned.jpg"
        label = RAF_ORDER[index % 7]
        found[f"{name}_aligned"] = Truth(path, {"emotion": label}, {("official", "official"): part})
        rows.append(f"{name}.jpg {index % 7 + 1}")
        image(root / path, index)
    lines(root / "EmoLabel/list_patition_label.txt", rows)
    return found


AFFECTNET_ORDER = (
    *("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt"),
    *("none", "uncertain", "no_face"),
)


def affectnet(root: Path, count: int = 33) -> dict[str, Truth]:
    """Images beside annotation files, one number each."""
    found = {}
    for index in range(count):
        folder, part = ("val_set", "validation") if index % 3 == 0 else ("train_set", "train")
        number = index % 11
        path = f"{folder}/images/{index}.jpg"
        image(root / path, index)
        (root / folder / "annotations").mkdir(exist_ok=True)
        np.save(root / folder / f"annotations/{index}_exp.npy", np.array(str(number)))
        if number < 8:
            truth = _affectnet(path, number, part)
            found[path.removesuffix(".jpg").replace("/", "--")] = truth
    return found


def affectnet_lists(root: Path, count: int = 33) -> dict[str, Truth]:
    """The first release: images in subfolders, two lists with more columns than are read."""
    found = {}
    rows = {"training.csv": [], "validation.csv": []}
    for index in range(count):
        name, part = (
            ("validation.csv", "validation") if index % 3 == 0 else ("training.csv", "train")
        )
        key = f"{index % 4}/{index:04x}.jpg"
        number = index % 11
        rows[name].append([key, 0, 0, 16, 16, "1;2", number, 0.5, -0.5])
        image(root / "Manually_Annotated_Images" / key, index)
        if number < 8:
            truth = _affectnet(f"Manually_Annotated_Images/{key}", number, part)
            found[key.removesuffix(".jpg").replace("/", "--")] = truth
    header = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,"
    header += "expression,valence,arousal"
    for name, each in rows.items():
        lines(root / name, [header, *(",".join(map(str, row)) for row in each)])
    return found


def _affectnet(path: str, number: int, part: str) -> Truth:
    name = AFFECTNET_ORDER[number]
    labels = {"emotion": name} | ({"basic_emotion": name} if name != "contempt" else {})
    tested = "test" if part == "validation" else part
    parts = {("official", "official"): part, ("published", "published"): tested}
    return Truth(path, labels, parts)


VOTES = (
    *("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt"),
    *("unknown", "NF"),
)
USAGES = {
    "Training": ("train", "FER2013Train"),
    "PublicTest": ("validation", "FER2013Valid"),
    "PrivateTest": ("test", "FER2013Test"),
}


def ferplus(root: Path, count: int = 24) -> dict[str, Truth]:
    """Votes of ten people per image; every sixth image has no majority or is no face."""
    found, rows = {}, []
    for index in range(count):
        usage = list(USAGES)[index % 3]
        part, folder = USAGES[usage]
        name = f"fer{index:07d}"
        label = EIGHT[index % 8]
        image(root / "data" / folder / f"{name}.png", index)
        rows.append([usage, f"{name}.png", *_votes(label, index)])
        if index % 6 != 5:
            found[f"{folder}--{name}"] = Truth(
                f"data/{folder}/{name}.png", {"emotion": label}, {("official", "official"): part}
            )
    rows.append(["Training", "", *([0] * 9), 10])
    with (root / "fer2013new.csv").open("w", newline="") as handle:
        csv.writer(handle).writerows([["Usage", "Image name", *VOTES], *rows])
    return found


def _votes(label: str, index: int) -> list[int]:
    """Return ten votes: five for the label and scattered single ones, or no majority."""
    votes = dict.fromkeys(VOTES, 0)
    if index % 6 == 5:
        votes |= {"unknown": 6, label: 4} if index % 12 == 5 else {"sadness": 5, "anger": 5}
        return list(votes.values())
    others = [name for name in VOTES if name != label]
    votes |= {label: 5, others[0]: 1, others[1]: 1, others[2]: 3}
    return list(votes.values())


LAYOUTS = {
    "dfew": dfew,
    "ferv39k": ferv39k,
    "mafw": mafw,
    "afew": afew,
    "caers": caers,
    "rafdb": rafdb,
    "affectnet": affectnet,
    "ferplus": ferplus,
}
