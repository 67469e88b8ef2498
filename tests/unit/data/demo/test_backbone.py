"""The demo backbone: trains, saves in open_clip's layout, loads; the shipped one can see faces."""

import csv
from pathlib import Path

import numpy as np
import pytest

from expressway.data.demo import backbone, lessons, render, world
from expressway.data.demo.units import EMOTIONS, UNITS
from expressway.faces import align

SHIPPED = Path(__file__).parents[4] / "data" / "demo" / "backbone"


def load(folder: Path):
    import open_clip

    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    return model.float().eval(), preprocess, open_clip.get_tokenizer(f"local-dir:{folder}")


@pytest.fixture(scope="module")
def school() -> lessons.Lessons:
    return lessons.make_lessons(1, people=24)


def test_lessons_show_what_their_sentences_and_units_say(school: lessons.Lessons) -> None:
    assert school.images.shape == (96, lessons.IMAGE, lessons.IMAGE, 3)
    assert school.units.shape == (96, len(UNITS))
    assert len(school.texts) == 96
    assert 0.7 < school.moving.mean() < 1.0
    assert all(text.endswith(".") for text in school.texts)
    again = lessons.make_lessons(1, people=2)
    np.testing.assert_array_equal(again.images, school.images[:8])
    assert again.texts == school.texts[:8]


def test_few_sentences_name_an_emotion() -> None:
    """Counted over many sentences: the share is the one that the difficulty was tuned with."""
    rng = np.random.default_rng(0)
    person = lessons.pupil(1, 0)
    meant = lessons.sample_expression(rng, "anger", 0.8)
    texts = [lessons._text(rng, meant, meant, person)[0] for _ in range(4000)]
    named = sum(any(name in text for name in EMOTIONS) for text in texts) / len(texts)
    # Eight are expected of 4000 draws; 32 or none would be far outside chance.
    assert 0 < named < 4 * lessons.NAMED_SHARE


def test_training_writes_a_folder_that_open_clip_loads(tmp_path: Path) -> None:
    import torch

    backbone.train_backbone(tmp_path, seed=3, people=40, epochs=1)
    with (tmp_path / "training.csv").open() as file:
        log = list(csv.DictReader(file))
    assert len(log) == 40 * lessons.FRAMES_PER_PERSON // backbone.BATCH
    assert all(np.isfinite(float(row["contrastive"])) for row in log)
    assert "seed 3" in (tmp_path / "README.md").read_text()
    model, preprocess, tokenise = load(tmp_path)
    assert preprocess.transforms[0].size == lessons.IMAGE
    with torch.no_grad():
        text = model.encode_text(tokenise(["the brows are lowered"]))
    assert text.shape == (1, 64)


def test_crops_are_those_of_the_faces_stage() -> None:
    shown = world.performance(5, 3)
    image, points = render.draw(shown.identity, shown.scene, shown.script.moment(4))
    crop = lessons.crop(None, image, points)
    transform = align.similarity(points.astype(np.float32), align.template(224))
    cut = align.crop(image, transform, 224)
    assert crop.shape == (64, 64, 3)
    # 7 by 7 pixels of the large crop are 2 by 2 of the small one.
    coarse = cut.reshape(32, 7, 32, 7, 3).mean(axis=(1, 3))
    small = crop.reshape(32, 2, 32, 2, 3).mean(axis=(1, 3))
    assert np.abs(coarse - small).max() < 2.0


@pytest.mark.skipif(not SHIPPED.exists(), reason="no backbone is shipped")
def test_the_shipped_backbone_is_small_and_knows_a_smile_from_a_dropped_jaw() -> None:
    import torch

    assert sum(file.stat().st_size for file in SHIPPED.iterdir()) < 10e6
    model, _, tokenise = load(SHIPPED)
    texts = ["the corners of the mouth are pulled up into a smile", "the jaw drops open"]
    kinds = ["happiness", "surprise"]
    right = seen = 0
    with torch.no_grad():
        told = torch.nn.functional.normalize(model.encode_text(tokenise(texts)), dim=-1)
        for number in range(80):
            shown = world.performance(5, number)
            if shown.kind not in kinds:
                continue
            drawn = render.draw(
                shown.identity, shown.scene, shown.script.moment(render.peak(shown))
            )
            pixels = backbone.normalised(torch.from_numpy(lessons.crop(None, *drawn))[None])
            choice = int((model.encode_image(pixels) @ told.T).argmax())
            right += choice == kinds.index(shown.kind)
            seen += 1
    assert seen > 10
    assert right / seen > 0.75
