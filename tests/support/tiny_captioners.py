"""Tiny models with random weights that look at pictures, as folders that real loaders read."""

import itertools
from pathlib import Path
from typing import Any

QWEN_TOKENS = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>",
    "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>",
]  # fmt: skip
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for c in m['content'] %}"
    "{% if c['type'] == 'text' %}{{ c['text'] }}"
    "{% elif c['type'] in ('image', 'image_url') %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif c['type'] == 'video' %}<|vision_start|><|video_pad|><|vision_end|>{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tokenizer(special: list[str], pad: str, eos: str) -> Any:
    """A byte-level tokenizer made on the spot: any text encodes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    made.train_from_iterator(["the brows go up and the lips part"], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token=pad,
        eos_token=eos,
        additional_special_tokens=[token for token in special if token not in (pad, eos)],
    )


def qwen(folder: Path, seed: int = 0) -> str:
    """Save a Qwen2.5-VL with 0.2 M random weights."""
    import torch
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        Qwen2VLImageProcessor,
        Qwen2VLVideoProcessor,
    )

    words = tokenizer(QWEN_TOKENS, "<|endoftext|>", "<|im_end|>")
    ids = {name: words.convert_tokens_to_ids(f"<|{name}|>") for name in ("image_pad", "video_pad")}
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(words), "hidden_size": 64, "intermediate_size": 64,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
            "max_position_embeddings": 4096, "bos_token_id": None,
            "eos_token_id": words.eos_token_id, "pad_token_id": words.pad_token_id,
            "rope_parameters": {
                "rope_type": "default", "mrope_section": [2, 2, 4], "rope_theta": 1e6
            },
        },
        vision_config={
            "depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2,
            "out_hidden_size": 64, "patch_size": 14, "spatial_merge_size": 2,
            "temporal_patch_size": 2, "window_size": 56, "fullatt_block_indexes": [1],
        },
        image_token_id=ids["image_pad"],
        video_token_id=ids["video_pad"],
        vision_start_token_id=words.convert_tokens_to_ids("<|vision_start|>"),
        vision_end_token_id=words.convert_tokens_to_ids("<|vision_end|>"),
    )  # fmt: skip
    torch.manual_seed(seed)
    Qwen2_5_VLForConditionalGeneration(config).save_pretrained(folder)
    pixels = {"min_pixels": 28 * 28, "max_pixels": 56 * 56}
    Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(**pixels),
        tokenizer=words,
        video_processor=Qwen2VLVideoProcessor(**pixels),
        chat_template=CHAT,
    ).save_pretrained(folder)
    return str(folder)


def video_llava(folder: Path, seed: int = 0) -> str:
    """Save a Video-LLaVA with random weights; it has no chat template."""
    import torch
    from transformers import (
        CLIPVisionConfig,
        LlamaConfig,
        VideoLlavaConfig,
        VideoLlavaForConditionalGeneration,
        VideoLlavaImageProcessor,
        VideoLlavaProcessor,
        VideoLlavaVideoProcessor,
    )

    words = tokenizer(["<pad>", "<s>", "</s>", "<image>", "<video>"], "<pad>", "</s>")
    config = VideoLlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
            image_size=28, patch_size=14, projection_dim=32,
        ),
        text_config=LlamaConfig(
            vocab_size=len(words), hidden_size=64, intermediate_size=64, num_hidden_layers=2,
            num_attention_heads=4, max_position_embeddings=2048, bos_token_id=1,
            eos_token_id=words.eos_token_id, pad_token_id=words.pad_token_id,
        ),
        image_token_index=words.convert_tokens_to_ids("<image>"),
        video_token_index=words.convert_tokens_to_ids("<video>"),
        image_seq_length=4,
        video_seq_length=40,
    )  # fmt: skip
    torch.manual_seed(seed)
    VideoLlavaForConditionalGeneration(config).save_pretrained(folder)
    size = {"size": {"shortest_edge": 28}, "crop_size": {"height": 28, "width": 28}}
    VideoLlavaProcessor(
        image_processor=VideoLlavaImageProcessor(**size),
        video_processor=VideoLlavaVideoProcessor(**size),
        tokenizer=words,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    ).save_pretrained(folder)
    return str(folder)


def say(folder: str, sentence: str, before: str) -> str:
    """Set a saved model's weights so that it answers everything with one sentence.

    The language part passes each token on unchanged, and the head turns a token into the next of
    the sentence; the whole network still runs. ``before`` is the text behind which answers start.
    """
    import torch
    from transformers import AutoModelForImageTextToText, AutoTokenizer

    model: Any = AutoModelForImageTextToText.from_pretrained(folder)
    words = AutoTokenizer.from_pretrained(folder)
    chain = [words(before)["input_ids"][-1], *words(sentence)["input_ids"], words.eos_token_id]
    assert len(set(chain)) == len(chain), "each token leads to one other token"
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if "visual" not in name and name.endswith(("o_proj.weight", "down_proj.weight")):
                weights.zero_()
        head = model.get_output_embeddings().weight
        inner = model.get_input_embeddings().weight
        head.zero_()
        for token, following in itertools.pairwise(chain):
            head[following] = inner[token] / inner[token].norm()
    model.save_pretrained(folder)
    return folder


def pixels(seed: int, frames: int = 8, size: int = 64) -> Any:
    """Random frames (frames, size, size, 3)."""
    import numpy as np

    return np.random.default_rng(seed).integers(0, 255, (frames, size, size, 3), dtype=np.uint8)
