"""Weights from strangers: a pickle that runs code is refused everywhere, honest files load."""

import os
from pathlib import Path

import pytest
import torch

from expressway.core.errors import ConfigError, SystemicError
from expressway.methods.releases import import_weights
from expressway.models.training.machine.checkpoints import resumable
from expressway.networks import backbones


class Payload:
    """What pickle runs when it is asked to load it."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return (os.mkdir, (str(self.mark),))


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "code-was-run"


def poisoned(path: Path, mark: Path) -> Path:
    torch.save({"mlp.weight": torch.zeros(64, 64), "more": Payload(mark)}, path)
    return path


def test_the_payload_works(tmp_path: Path, mark: Path) -> None:
    """Or the other tests would prove nothing."""
    torch.load(poisoned(tmp_path / "bad.pth", mark), weights_only=False)
    assert mark.exists()


@pytest.mark.parametrize("method", ["emoclip", "expclip"])
def test_releases_are_read_without_running_them(tmp_path: Path, mark: Path, method: str) -> None:
    bad = poisoned(tmp_path / "bad.pth", mark)
    with pytest.raises(ConfigError, match=r"bad\.pth: cannot be read as a state dict") as refused:
        import_weights(method, bad, tmp_path / "out", "ViT-B-32/openai")
    assert not mark.exists()
    assert not (tmp_path / "out").exists()
    # torch's own message would go on to say how to run it all the same
    assert "weights_only" not in str(refused.value)
    assert "mkdir" in str(refused.value)


def test_an_honest_release_is_read(tmp_path: Path) -> None:
    torch.save({"mlp.weight": torch.ones(64, 512)}, tmp_path / "good.pth")
    out = import_weights("expclip", tmp_path / "good.pth", tmp_path / "out", "ViT-B-32/openai")
    assert (out / "model.safetensors").is_file()


def test_a_backbone_folder_with_a_pickle_is_refused(
    tmp_path: Path, mark: Path, backbone_folder: Path
) -> None:
    assert backbones.load(f"local-dir:{backbone_folder}").dim == 64
    (backbone_folder / "open_clip_model.safetensors").unlink()
    poisoned(backbone_folder / "open_clip_pytorch_model.bin", mark)
    with pytest.raises(SystemicError, match="weights and description do not fit"):
        backbones.load(f"local-dir:{backbone_folder}")
    assert not mark.exists()


def test_a_checkpoint_with_a_pickle_is_passed_over(tmp_path: Path, mark: Path, capsys) -> None:
    good = {"expressway": {"identity": "mine"}, "weights": torch.zeros(2)}
    torch.save(good, tmp_path / "epoch-0001-000000.ckpt")
    torch.save(good | {"more": Payload(mark)}, tmp_path / "epoch-0002-000000.ckpt")
    found = resumable(tmp_path, "mine")
    assert found is not None
    assert found.epoch == 1
    assert not mark.exists()
    assert "epoch-0002-000000.ckpt: damaged" in capsys.readouterr().out
