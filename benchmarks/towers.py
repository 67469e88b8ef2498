"""CPU seconds per clip of CLIP's towers: what ``expressway plan`` takes for stores of features.

Run: python benchmarks/towers.py [--images 4] [ViT-B-32 ViT-B-16 ViT-L-14]

Weights are random (the arithmetic is the same); a clip is 37 images (8 for windows), or one text.
Prints lines for src/expressway/planning/rates.csv: stage, network, CPU seconds and bytes of a clip.
CPU seconds of all threads, so that other work on the machine matters little.
"""

import argparse
import time
from collections.abc import Callable

import open_clip
import torch
from torch import Tensor

FRAMES, WINDOW_FRAMES = 37, 8


def main() -> None:
    """Print a line per tower."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("backbones", nargs="*", default=["ViT-B-32", "ViT-B-16", "ViT-L-14"])
    parser.add_argument("--images", type=int, default=4, help="images and texts of a call")
    arguments = parser.parse_args()
    for name in arguments.backbones:
        model = open_clip.create_model(f"{name}-quickgelu", pretrained=None).eval()
        images = torch.rand(arguments.images, 3, 224, 224)
        texts = open_clip.get_tokenizer(name)(["a face with raised brows"] * arguments.images)
        image, width = cost(model.encode_image, images)
        text, _ = cost(model.encode_text, texts)
        print(f"visual_features,{name}/openai,{FRAMES * image:.2f},{FRAMES * width * 2 + 1500}")
        print(f"attention,{name}/openai,{WINDOW_FRAMES * image:.2f},300")
        print(f"text_embeddings,{name}/openai,{text:.3f},{width * 2 + 700}")


def cost(encode: Callable[[Tensor], Tensor], batch: Tensor) -> tuple[float, int]:
    """Return CPU seconds for one row of the batch, after a warm-up, and the width of the result."""
    with torch.inference_mode():
        encode(batch[:1])
        start = time.process_time()
        width = encode(batch).shape[1]
    return (time.process_time() - start) / len(batch), width


if __name__ == "__main__":
    main()
