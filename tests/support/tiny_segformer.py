"""A tiny random SegFormer folder, saved as the real ones are."""

from pathlib import Path
from typing import Any

CELEBAMASK_LABELS = (
    "background", "skin", "nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear", "r_ear",
    "mouth", "u_lip", "l_lip", "hair", "hat", "ear_r", "neck_l", "neck", "cloth",
)  # fmt: skip


def save(folder: Path, labels: tuple[str, ...] = CELEBAMASK_LABELS, **processor: Any) -> str:
    """Save a network with these labels and its image processor; return the folder."""
    import torch
    import transformers

    torch.manual_seed(1)
    config = transformers.SegformerConfig(
        num_encoder_blocks=2, depths=[1, 1], sr_ratios=[4, 2], hidden_sizes=[8, 16],
        patch_sizes=[7, 3], strides=[4, 2], num_attention_heads=[1, 2], mlp_ratios=[2, 2],
        decoder_hidden_size=16, id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
    )  # fmt: skip
    network = transformers.SegformerForSemanticSegmentation(config)
    # spread the random logits, so that the label maps have many labels
    network.decode_head.classifier.weight.data *= 50
    network.save_pretrained(folder)
    settings = {"size": {"height": 64, "width": 64}, **processor}
    transformers.SegformerImageProcessor(**settings).save_pretrained(folder)
    return str(folder)
