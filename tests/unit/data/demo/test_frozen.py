"""World and backbone are frozen: methods are tuned on what these hashes name, and on nothing else.

A change of any of them is a new world: say so in the change log and run all models again.
"""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from expressway.data import demo
from expressway.data.demo import render, world

ROOT = Path(__file__).parents[4]
SHA256 = {
    "demo/manifest.csv": ("472c7616da09827c43a8782852e9744beeb6481124854628a78da9584c2e8786"),
    "demo/splits.csv": ("cd31461429e7bd504bddcea2438052a5aca3d346d8c65448304c66e7dd608178"),
    "demo_stills/manifest.csv": (
        "0f476e85f9495568cf31361538ccc0347e870402dfb94aa4ad01a7a54e2b8538"
    ),
    "demo/backbone/open_clip_config.json": (
        "88cdaa8b3429be2fb82d91b6134074bef03152777e9888b274bf59309dac3553"
    ),
    "demo/backbone/open_clip_model.safetensors": (
        "ed172f6240e16ca91769c2556865aff5b54ddd14bbfd40e8f6fa368eab860b07"
    ),
}
# Mean brightness of the frame in 4 by 4 fields, by (clip, frame). Not a hash of pixels: a
# processor may round a shadow by one level.
FIELDS = {
    (0, 12): [
        [99.0, 65.6, 55.4, 95.1],
        [100.4, 133.1, 137.5, 109.1],
        [98.8, 140.7, 162.0, 98.6],
        [81.9, 95.4, 105.5, 83.1],
    ],
    (77, 5): [
        [165.9, 188.9, 187.9, 156.9],
        [167.5, 198.9, 199.2, 160.1],
        [147.1, 187.6, 185.5, 144.0],
        [146.4, 148.0, 145.5, 129.7],
    ],
    (439, 20): [
        [134.0, 142.4, 138.0, 116.2],
        [136.5, 131.7, 128.7, 129.9],
        [131.7, 125.3, 120.8, 117.4],
        [123.5, 110.2, 108.7, 110.0],
    ],
}


@pytest.mark.parametrize("path", SHA256)
def test_file_is_the_frozen_one(path: str) -> None:
    assert hashlib.sha256((ROOT / "data" / path).read_bytes()).hexdigest() == SHA256[path]


def test_the_code_still_writes_the_frozen_tables(tmp_path: Path) -> None:
    demo.write_manifest(tmp_path, demo.DEFAULT_CLIPS, demo.DEFAULT_SEED)
    for name in ("manifest.csv", "splits.csv"):
        assert (tmp_path / name).read_bytes() == (ROOT / "data" / "demo" / name).read_bytes()


@pytest.mark.parametrize("place", FIELDS)
def test_the_code_still_draws_the_frozen_faces(place: tuple[int, int]) -> None:
    number, frame = place
    image = render.frame(world.performance(demo.DEFAULT_SEED, number), frame)
    fields = image.reshape(4, 56, 4, 56, 3).mean(axis=(1, 3, 4))
    np.testing.assert_allclose(fields, FIELDS[place], atol=0.5)
