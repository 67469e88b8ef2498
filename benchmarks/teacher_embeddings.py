"""What teacher embeddings cost: captions by encoder, BLIP-2's parts, and 40 000 rows of 4096.

Run: python benchmarks/teacher_embeddings.py [--captions 64] [--images 4] [--rows 40000]

Weights are random (the arithmetic is the same). Times are CPU seconds of all threads, so that
other work on the machine matters little. ``BLIP-2, small`` has the width and depth of a ViT-B/16,
BLIP-2's Q-Former and a T5-base; Flan-T5-XXL's 24 layers of 4096 and ViT-g do not fit a laptop. The
first part writes shards of rows of full width through the stage, with an encoder that costs next
to nothing, and prints time and memory: the memory must not grow with the number of shards.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from expressway.core.manifest import Clip
from expressway.core.rows import Job
from expressway.core.runner import run
from expressway.language import encoders, teachers
from expressway.stages.teacher_embeddings import STAGE, TeacherEmbeddingsConfig

WIDTH = 4096
SHARD = 4096
CAPTION = "the lip corners are pulled up, the cheeks rise and the eyes narrow slightly, then relax"


def main() -> None:
    """Print all parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--captions", type=int, default=64)
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--rows", type=int, default=40_000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # First, since the peak of memory is that of the process so far.
        rows(folder, arguments.rows)
        print(f"\n{'one vector per':14} {'by':30}{'CPU s / 1000':>14}")
        captions(folder, arguments.captions)
        images(folder, arguments.images)


def captions(folder: Path, count: int) -> None:
    """Time captions through CLIP's text tower and two sizes of T5 encoder."""
    texts = [f"{CAPTION} {number}" for number in range(count)]
    clip, tokenizer = open_clip.create_model("ViT-B-32"), open_clip.get_tokenizer("ViT-B-32")
    with torch.no_grad():
        line(
            "caption", "ViT-B/32 text tower", cpu(lambda: clip.encode_text(tokenizer(texts))), count
        )
    for name, settings in (("small", t5(512, 8, 1024)), ("base", t5(768, 12, 2048))):
        place = save_t5(folder / name, settings)
        encoder = encoders.load(place)
        line("caption", f"T5-{name} encoder", cpu(lambda: encoder.encode_texts(texts)), count)  # noqa: B023


def images(folder: Path, count: int) -> None:
    """Time images through a BLIP-2 of laptop size."""
    teacher = teachers.load(save_blip2(folder / "blip2"))
    random = np.random.default_rng(0)
    faces = [random.integers(0, 256, (224, 224, 3), dtype=np.uint8) for _ in range(count)]
    seconds = cpu(lambda: teacher.encode_images(faces, [""] * count))
    line("image", "BLIP-2, small (see --help)", seconds, count)


def rows(folder: Path, count: int) -> None:
    """Write rows of 4096 values through the stage, shard by shard; print time and memory."""
    model = save_t5(folder / "wide", t5(WIDTH, 1, 8, heads=1, d_kv=8))
    config = TeacherEmbeddingsConfig(encoder="transformers", model=model, batch_size=64)
    clips = [Clip(f"clip{n:06d}", "x", captions=(f"smile {n}",)) for n in range(count)]
    print(f"{'rows of 4096 fp16':>18}{'CPU s':>10}{'MB written':>12}{'peak memory MB':>16}")
    seconds = size = 0.0
    for start in range(0, count, SHARD):
        shard, output = clips[start : start + SHARD], folder / f"{start}.parquet"
        job = Job(STAGE, config, shard, folder, {}, output, {})
        seconds += cpu(lambda: run(job))  # noqa: B023
        size += output.stat().st_size / 1e6
        done = start + len(shard)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        if start == 0 or done == count:
            print(f"{done:18,}{seconds:10,.0f}{size:12,.0f}{memory:16,.0f}")


def t5(width: int, layers: int, inner: int, heads: int = 8, d_kv: int = 64) -> dict[str, Any]:
    """Return the configuration of a T5 with gated layers, as Flan-T5 has them."""
    return {
        "model_type": "t5",
        "d_model": width,
        "num_layers": layers,
        "num_decoder_layers": 1,
        "d_ff": inner,
        "num_heads": heads,
        "d_kv": d_kv,
        "feed_forward_proj": "gated-gelu",
        "vocab_size": 400,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "decoder_start_token_id": 0,
    }


def save_t5(folder: Path, settings: dict[str, Any]) -> str:
    """Save a random T5 with a tokenizer of words and bytes."""
    config = transformers.T5Config(**settings)
    transformers.T5EncoderModel(config).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return str(folder)


def save_blip2(folder: Path) -> str:
    """Save a random BLIP-2 of laptop size."""
    words = tokenizer()
    words.add_tokens(["<image>"], special_tokens=True)
    vision = transformers.Blip2VisionConfig(
        hidden_size=768,
        intermediate_size=3072,
        num_hidden_layers=12,
        num_attention_heads=12,
        patch_size=16,
    )
    config = transformers.Blip2Config(
        vision_config=vision.to_dict(),
        qformer_config=transformers.Blip2QFormerConfig(encoder_hidden_size=768).to_dict(),
        text_config=t5(768, 12, 2048, heads=12),
        image_token_index=words.convert_tokens_to_ids("<image>"),
    )
    transformers.Blip2ForConditionalGeneration(config).save_pretrained(folder)
    size = {"height": 224, "width": 224}
    processor = transformers.Blip2Processor(
        transformers.BlipImageProcessor(size=size), words, num_query_tokens=32
    )
    processor.save_pretrained(folder)
    return str(folder)


def tokenizer() -> Any:
    """Return a tokenizer that knows the words of the captions and any byte."""
    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=380,
        special_tokens=["<pad>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    words.train_from_iterator([CAPTION, teachers.INSTRUCTION] * 2, trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", eos_token="</s>", model_max_length=512
    )


def cpu(task: Callable[[], Any]) -> float:
    """Return CPU seconds of all threads."""
    start = time.process_time()
    task()
    return time.process_time() - start


def line(what: str, how: str, seconds: float, count: int) -> None:
    """Print one row of the first table."""
    print(f"{what:14} {how:30}{seconds / count * 1000:14,.0f}")


if __name__ == "__main__":
    main()
