"""Tiny real models that the tests build for themselves: no download, no network."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TINY_CLIP: dict[str, Any] = {
    "embed_dim": 16,
    "vision_cfg": {
        "image_size": 32,
        "layers": 2,
        "width": 32,
        "head_width": 16,
        "patch_size": 8,
    },
    # the bundled tokenizer needs its full vocabulary, so the width is kept small
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 8, "heads": 2, "layers": 1},
}


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def tiny_clip(tmp_path: Path) -> Callable[..., str]:
    """Make a folder in open_clip's layout with random weights; return its backbone string."""

    def make(name: str = "tiny", seed: int = 0, **changes: Any) -> str:
        import open_clip
        import torch
        from safetensors.torch import save_file

        declared = {
            key: changes.pop(key) for key in ("pretrained", "preprocess_cfg") if key in changes
        }
        model_cfg = {**TINY_CLIP, **changes}
        torch.manual_seed(seed)
        model = open_clip.CLIP(**model_cfg)
        folder = tmp_path / name
        folder.mkdir()
        config = {"model_cfg": model_cfg, "preprocess_cfg": {}, **declared}
        (folder / "open_clip_config.json").write_text(json.dumps(config))
        save_file(model.state_dict(), str(folder / "open_clip_model.safetensors"))
        return f"local-dir:{folder}"

    return make
