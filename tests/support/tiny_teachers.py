"""Tiny random BLIP-2 and InstructBLIP folders, saved as the real ones are."""

from pathlib import Path
from typing import Any

WIDTH, SIDE, QUERIES = 24, 28, 4


def byte_tokenizer() -> Any:
    """A tokenizer of bytes: any text encodes; an end token is added, as T5's does."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<pad>", "</s>"]
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(["describe the face"], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", model_max_length=512
    )


def save(folder: Path, kind: str) -> str:
    """Save a ``blip2``, ``instructblip`` or ``opt`` (BLIP-2 without T5); return the folder."""
    import torch
    import transformers

    tokenizer = byte_tokenizer()
    tokenizer.add_tokens(["<image>"], special_tokens=True)
    family = "InstructBlip" if kind == "instructblip" else "Blip2"
    vision = getattr(transformers, f"{family}VisionConfig")(
        hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        image_size=SIDE, patch_size=14,
    )  # fmt: skip
    qformer = getattr(transformers, f"{family}QFormerConfig")(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=16, encoder_hidden_size=32, cross_attention_frequency=1,
        max_position_embeddings=256,
    )  # fmt: skip
    config = getattr(transformers, f"{family}Config")(
        vision_config=vision.to_dict(),
        qformer_config=qformer.to_dict(),
        text_config=_opt(tokenizer) if kind == "opt" else _t5(tokenizer),
        num_query_tokens=QUERIES,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    network = getattr(transformers, f"{family}ForConditionalGeneration")(config)
    torch.manual_seed(0)
    for parameter in network.parameters():
        # larger than usual, so that pixels and instruction matter visibly
        torch.nn.init.normal_(parameter, std=0.3)
    network.save_pretrained(folder)
    size = {"height": SIDE, "width": SIDE}
    images = transformers.BlipImageProcessor(size=size)
    more = {"qformer_tokenizer": byte_tokenizer()} if kind == "instructblip" else {}
    processor = getattr(transformers, f"{family}Processor")
    processor(images, tokenizer, num_query_tokens=QUERIES, **more).save_pretrained(folder)
    return str(folder)


def _t5(tokenizer: Any) -> dict[str, Any]:
    return {
        "model_type": "t5", "d_model": WIDTH, "d_kv": 8, "d_ff": 32, "num_layers": 2,
        "num_heads": 3, "feed_forward_proj": "gated-gelu", "dense_act_fn": "gelu",
        "decoder_start_token_id": 0, "vocab_size": len(tokenizer), "pad_token_id": 0,
        "eos_token_id": 1,
    }  # fmt: skip


def _opt(tokenizer: Any) -> dict[str, Any]:
    return {
        "model_type": "opt", "hidden_size": WIDTH, "ffn_dim": 32, "num_hidden_layers": 1,
        "num_attention_heads": 3, "vocab_size": len(tokenizer), "word_embed_proj_dim": WIDTH,
    }  # fmt: skip
