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


SENTENCES = (
    "the lip corners are pulled up",
    "both brows are raised and the eyes open wide",
    "a frown: brows drawn together",
)


@pytest.fixture
def tiny_text_model(tmp_path: Path) -> Callable[..., str]:
    """Save a tiny random transformers text model with a tokenizer made on the spot."""

    def make(kind: str, name: str = "text-model") -> str:
        import torch
        import transformers

        tokenizer = byte_level_tokenizer()
        ids = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
        torch.manual_seed(0)
        if kind == "t5":
            config = transformers.T5Config(
                d_model=24, d_kv=8, d_ff=32, num_layers=2, num_heads=3,
                feed_forward_proj="gated-gelu", decoder_start_token_id=0, **ids,
            )  # fmt: skip
            network = transformers.T5ForConditionalGeneration(config)
        else:
            config = transformers.BertConfig(
                hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=32,
                max_position_embeddings=16, **ids,
            )  # fmt: skip
            network = transformers.BertModel(config)
        folder = tmp_path / name
        network.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return str(folder)

    return make


def byte_level_tokenizer() -> Any:
    """A byte-level BPE tokenizer: any text encodes; an end token is added, as T5's does."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<pad>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", model_max_length=512
    )
