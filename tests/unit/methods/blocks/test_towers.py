"""Copies of towers: trained apart from the backbone, equal to it at the start."""

from types import SimpleNamespace

import feature_world
import open_clip
import pytest
import torch

from expressway.methods.blocks.towers import TextTower, visual_tower


@pytest.mark.parametrize("kind", [open_clip.CLIP, open_clip.CustomTextCLIP])
def test_both_of_open_clip_s_layouts(kind) -> None:
    torch.manual_seed(0)
    model = kind(**feature_world.CLIP_CONFIG).eval().requires_grad_(False)
    backbone = SimpleNamespace(model=model)
    text, visual = TextTower(backbone), visual_tower(backbone)
    tokens = open_clip.tokenize(["a smile", "a frown with drawn brows"])
    images = torch.randn(2, 3, 32, 32)
    # torch takes another path through attention where nothing is trained: fp32 rounding
    torch.testing.assert_close(text(tokens), model.encode_text(tokens))
    torch.testing.assert_close(visual(images), model.encode_image(images))
    (text(tokens).sum() + visual(images).sum()).backward()
    assert all(p.grad is not None for p in [*text.parameters(), *visual.parameters()])
    before = model.encode_text(tokens).clone()
    with torch.no_grad():
        for parameter in text.parameters():
            parameter.mul_(2)
    assert torch.equal(model.encode_text(tokens), before)
    assert (text(tokens) - before).abs().max() > 0.1
    # of the text tower only the blocks are its own
    assert {name.split(".")[0] for name in text.state_dict()} == {"transformer"}
