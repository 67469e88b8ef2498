"""text_embeddings: both kinds of encoder, every source, each text encoded once."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from expressway.core.errors import ConfigError, StoreError, SystemicError
from expressway.core.manifest import Clip
from expressway.core.rows import Job
from expressway.core.runner import run
from expressway.core.stage import Row, Runtime, Source
from expressway.core.store import ShardReader, ShardWriter
from expressway.language import encoders
from expressway.networks import backbones
from expressway.stages import text_embeddings
from expressway.stages.text_embeddings import STAGE, Memory, TextEmbeddingsConfig, phrasings

Make = Callable[..., str]
SMILE, FROWN = "the lip corners are pulled up", "a frown: brows drawn together"
CLIPS = [
    Clip("a", "a.mp4", captions=(SMILE, FROWN)),
    Clip("b", "b.mp4"),
    Clip("c", "c.mp4", captions=(FROWN,)),
    Clip("d", "d.mp4", captions=("brows " * 90,)),
]


def make_store(tmp_path: Path, config: TextEmbeddingsConfig, **inputs: Source) -> ShardReader:
    job = Job(STAGE, config, CLIPS, tmp_path, inputs, tmp_path / "out.parquet", {})
    run(job)
    return ShardReader(job.output)


def test_clip_embeddings_of_the_manifest_s_captions(tmp_path: Path, tiny_clip: Make) -> None:
    model = tiny_clip()
    config = TextEmbeddingsConfig(encoder="clip", backbone=model, batch_size=2)
    store = make_store(tmp_path, config)
    rows = [store.row(index) for index in range(4)]
    assert [row["status"] for row in rows] == ["ok"] * 4
    assert [list(row["texts"]) for row in rows[:3]] == [[SMILE, FROWN], [], [FROWN]]
    assert [row["embeddings"].shape for row in rows] == [(2, 16), (0, 16), (1, 16), (1, 16)]
    assert rows[0]["embeddings"].dtype == np.float16
    expected = backbones.load(model).encode_texts([SMILE, FROWN]).numpy()
    # fp16 keeps 11 bits of mantissa: half a unit in the last place is 2**-11 of the value
    np.testing.assert_allclose(rows[0]["embeddings"], expected, rtol=2**-10, atol=1e-6)
    np.testing.assert_array_equal(rows[0]["embeddings"][1], rows[2]["embeddings"][0])
    assert [row["truncated"].tolist() for row in rows] == [[False, False], [], [False], [True]]


def test_cut_texts_are_told(
    tmp_path: Path, tiny_clip: Make, caplog: pytest.LogCaptureFixture
) -> None:
    make_store(tmp_path, TextEmbeddingsConfig(backbone=tiny_clip()))
    assert "1 of 3 texts are longer" in caplog.text


def reference_mean(folder: str, text: str) -> np.ndarray:
    """One text alone through the encoder: nothing is padded, so the mean is the plain one."""
    import torch
    from transformers import AutoTokenizer, T5EncoderModel

    tokens = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
    with torch.no_grad():
        states = T5EncoderModel.from_pretrained(folder)(**tokens).last_hidden_state
    return states[0].mean(0).numpy()


def test_t5_means_over_real_tokens_only(tmp_path: Path, tiny_text_model: Make) -> None:
    folder = tiny_text_model("t5")
    config = TextEmbeddingsConfig(encoder="transformers", model=folder)
    store = make_store(tmp_path, config)
    found = store.by_id("a")["embeddings"]
    assert found.shape == (2, 24)
    for row, text in zip(found, (SMILE, FROWN), strict=True):
        np.testing.assert_allclose(row, reference_mean(folder, text), rtol=2**-10, atol=1e-4)


@pytest.mark.parametrize("pooling", ["first", "pooled"])
def test_other_poolings(tiny_text_model: Make, pooling: Any) -> None:
    import torch
    from transformers import AutoTokenizer, BertModel

    folder = tiny_text_model("bert")
    found = encoders.load(folder, pooling=pooling).encode_texts([SMILE[:8], "a frown"])
    tokens = AutoTokenizer.from_pretrained(folder)("a frown", return_tensors="pt")
    with torch.no_grad():
        output = BertModel.from_pretrained(folder)(
            input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
        )
    wanted = output.pooler_output if pooling == "pooled" else output.last_hidden_state[:, 0]
    torch.testing.assert_close(found[1], wanted[0], atol=1e-5, rtol=1e-5)


def test_a_bert_reads_no_more_than_it_has_positions_for(tiny_text_model: Make) -> None:
    encoder = encoders.load(tiny_text_model("bert"), max_tokens=512)
    assert encoder.truncated([SMILE * 20, "a"]) == [True, False]
    assert encoder.encode_texts([SMILE * 20]).shape == (1, 24)


def test_pooled_needs_a_pooled_output(tiny_text_model: Make) -> None:
    encoder = encoders.load(tiny_text_model("t5"), pooling="pooled")
    with pytest.raises(ConfigError, match="no pooled output"):
        encoder.encode_texts([SMILE])


def test_only_the_encoder_of_t5_is_loaded(tiny_text_model: Make) -> None:
    encoder = encoders.load(tiny_text_model("t5"))
    names = [name for name, _ in encoder._network.named_parameters()]
    assert names
    assert not any("decoder" in name or "lm_head" in name for name in names)


def test_a_model_that_is_not_there_says_what_to_do() -> None:
    with pytest.raises(SystemicError, match=r"google/flan-t5-xxl.*save_pretrained"):
        encoders.load("google/flan-t5-xxl")


def captions_store(tmp_path: Path) -> Source:
    import pyarrow as pa

    path = tmp_path / "captions.parquet"
    fields = pa.schema([pa.field("raw", pa.string()), pa.field("refined", pa.list_(pa.string()))])
    texts = [(SMILE, [SMILE, " "]), (None, None), ("", []), (FROWN, [FROWN])]
    with ShardWriter(path, fields, {}) as writer:
        for clip, (raw, refined) in zip(CLIPS, texts, strict=True):
            writer.write({"clip_id": clip.id, "status": "ok", "raw": raw, "refined": refined})
    return Source(path=path)


@pytest.mark.parametrize("source", ["captions.raw", "captions.refined"])
def test_captions_as_source(tmp_path: Path, tiny_clip: Make, source: Any) -> None:
    config = TextEmbeddingsConfig(source=source, captions="geometry", backbone=tiny_clip())
    assert config.upstream() == {"captions": "geometry"}
    assert config.manifest_columns() == ("id",)
    store = make_store(tmp_path, config, captions=captions_store(tmp_path))
    found = [list(store.row(index)["texts"]) for index in range(4)]
    assert found == [[SMILE], [], [], [FROWN]]


def test_the_manifest_as_source_reads_no_store(tiny_clip: Make) -> None:
    config = TextEmbeddingsConfig(backbone=tiny_clip())
    assert config.upstream() == {}
    assert config.manifest_columns() == ("id", "caption")
    assert phrasings(config, Row(Clip("x", "x", captions=(" a ", "")), Path("x"))) == ["a"]
    chinese = TextEmbeddingsConfig(source="manifest.caption_zh", encoder="transformers", model="x")
    assert chinese.manifest_columns() == ("id", "caption_zh")
    row = Row(Clip("x", "x", captions=("a",), caption_zh="眉头"), Path("x"))
    assert phrasings(chinese, row) == ["眉头"]


class Counting:
    """A real encoder that remembers what it was asked."""

    def __init__(self, encoder: Any) -> None:
        self.encoder, self.name, self.dim = encoder, encoder.name, encoder.dim
        self.asked: list[str] = []

    def truncated(self, texts: Sequence[str]) -> list[bool]:
        return self.encoder.truncated(texts)

    def encode_texts(self, texts: Sequence[str]) -> Any:
        self.asked += texts
        return self.encoder.encode_texts(texts)


def test_each_distinct_text_is_encoded_once(tiny_clip: Make) -> None:
    counting = Counting(backbones.load(tiny_clip()))
    memory = Memory(counting)
    memory.learn([SMILE, FROWN, SMILE])
    memory.learn([FROWN, "eyes closed", SMILE])
    assert sorted(counting.asked) == sorted([SMILE, FROWN, "eyes closed"])


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"encoder": "clip"}, "needs the key backbone"),
        ({"encoder": "transformers"}, "needs the key model"),
        ({"encoder": "transformers", "model": "m", "backbone": "b"}, "does not read the key"),
    ],
)
def test_encoder_and_its_key_belong_together(keys: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        TextEmbeddingsConfig(**keys)


def test_weights_are_the_local_files(tiny_clip: Make, tiny_text_model: Make) -> None:
    model, folder = tiny_clip(), tiny_text_model("t5")
    assert len(TextEmbeddingsConfig(backbone=model).weights()) == 2
    assert TextEmbeddingsConfig(encoder="transformers", model=folder).weights() == (folder,)
    assert TextEmbeddingsConfig(backbone="ViT-B-32/openai").weights() == ()


def test_a_gpu_that_is_not_there_stops_the_job(
    tiny_text_model: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    config = TextEmbeddingsConfig(encoder="transformers", model=tiny_text_model("t5"))
    with pytest.raises(SystemicError, match="torch sees no GPU"):
        text_embeddings.open_stage(config, Runtime(device="cuda"))


def test_every_column_is_filled(tmp_path: Path, tiny_clip: Make) -> None:
    config = TextEmbeddingsConfig(backbone=tiny_clip())
    rows = STAGE.open(config, Runtime())([Row(clip, tmp_path) for clip in CLIPS])
    assert all(set(row) == set(STAGE.schema(config).names) for row in rows)
    with pytest.raises(StoreError, match="no row for clip"):
        make_store(tmp_path, config).by_id("z")
