"""Weights that were cut or overwritten on the disk: every loader names the model."""

from collections.abc import Callable
from pathlib import Path

import pytest
import tiny_captioners
import tiny_segformer
import tiny_teachers

from expressway.core.errors import SystemicError
from expressway.faces.parsers.transformers import TransformersParser
from expressway.language import encoders, teachers
from expressway.language.captioners.base import Question
from expressway.language.captioners.transformers import TransformersCaptioner, TransformersOptions
from expressway.networks import backbones

CLIP = Path(__file__).parents[2] / "data/demo/backbone"


def save_text_model(folder: Path) -> str:
    import transformers

    tokenizer = tiny_teachers.byte_tokenizer()
    config = transformers.BertConfig(
        vocab_size=len(tokenizer), hidden_size=24, num_hidden_layers=1, num_attention_heads=3,
        intermediate_size=32,
    )  # fmt: skip
    transformers.BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def save_clip(folder: Path) -> str:
    folder.mkdir()
    for path in CLIP.glob("open_clip_*"):
        (folder / path.name).write_bytes(path.read_bytes())
    return f"local-dir:{folder}"


def caption(model: str) -> object:
    options = TransformersOptions(model=model)
    return TransformersCaptioner(options, Question("q", "What moves?"), "cpu", 1)


@pytest.mark.parametrize("damage", ["header", "half", "empty"])
@pytest.mark.parametrize(
    ("save", "load"),
    [
        (save_clip, backbones.load),
        (tiny_segformer.save, TransformersParser),
        (tiny_captioners.qwen, caption),
        (lambda folder: tiny_teachers.save(folder, "blip2"), teachers.load),
        (save_text_model, encoders.load),
    ],
    ids=["backbone", "parser", "captioner", "teacher", "encoder"],
)
def test_the_model_is_named(
    tmp_path: Path, save: Callable[[Path], str], load: Callable[[str], object], damage: str
) -> None:
    model = save(tmp_path / "model")
    load(model)
    (weights,) = (tmp_path / "model").glob("*.safetensors")
    content = weights.read_bytes()
    damaged = {"header": bytes(8) + content[8:], "half": content[: len(content) // 2], "empty": b""}
    weights.write_bytes(damaged[damage])
    with pytest.raises(SystemicError, match=f"{model}: .*cannot be (loaded|read)"):
        load(model)
