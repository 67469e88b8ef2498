"""Tiny models with random weights through the same loaders as the real ones."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_captioners
from crops import crop

from expressway.core.errors import ConfigError, RowFailure, SystemicError
from expressway.language.captioners.base import Description, Pictures, Question, question
from expressway.language.captioners.transformers import TransformersCaptioner, TransformersOptions

QUESTION = Question("movements", "What moves?")
CLIPS = [Pictures(f"c{i}", [crop(10 * i + k) for k in range(8)], range(8)) for i in range(3)]
FAMILIES: dict[str, Callable[[Path], str]] = {
    "qwen": tiny_captioners.qwen,
    "video_llava": tiny_captioners.video_llava,
}


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    return FAMILIES[request.param](tmp_path_factory.mktemp(request.param) / "model")


def captioner(folder: str, batch_size: int = 3, **changes: Any) -> TransformersCaptioner:
    options = TransformersOptions.model_validate({"model": folder, "max_new_tokens": 6, **changes})
    return TransformersCaptioner(options, QUESTION, "cpu", batch_size)


@pytest.mark.parametrize("media", ["auto", "images"])
def test_a_batch_says_what_its_clips_say_alone(folder: str, media: str) -> None:
    together = captioner(folder, media=media).describe(CLIPS)
    alone = captioner(folder, batch_size=1, media=media).describe(CLIPS)
    assert together == alone
    assert all(isinstance(said, Description) for said in together)


def test_the_answer_depends_on_the_pictures_and_on_the_question(folder: str) -> None:
    asked = captioner(folder, media="images")
    here = asked._inputs([tiny_captioners.pixels(0)])
    there = asked._inputs([tiny_captioners.pixels(1)])
    key = "pixel_values" if "pixel_values" in here else "pixel_values_images"
    assert not here[key].equal(there[key])
    words = asked._processor.tokenizer.decode(here["input_ids"][0])
    assert "What moves?" in words


def test_answers_without_their_question_and_without_special_tokens(folder: str) -> None:
    for said in captioner(folder).describe(CLIPS):
        assert isinstance(said, Description)
        assert "What moves" not in said.text
        assert not {"<pad>", "</s>", "<|im_end|>", "<|endoftext|>"} & set(said.text.split())


def test_an_answer_that_ends_by_itself_is_not_cut_off(tmp_path: Path) -> None:
    made = tiny_captioners.qwen(tmp_path / "model")
    sentence = "the brows go up and lips part"
    model = tiny_captioners.say(made, sentence, before="assistant\n")
    (whole,) = captioner(model, max_new_tokens=40).describe(CLIPS[:1])
    assert whole == Description(sentence)
    (part,) = captioner(model, max_new_tokens=3).describe(CLIPS[:1])
    assert isinstance(part, Description)
    assert part.flags == ("cut_off",)
    assert sentence.startswith(part.text)


def test_a_crop_that_is_no_image_costs_its_clip_only(folder: str) -> None:
    broken = Pictures("broken", [b"no image"] * 8, range(8))
    first, second, third = captioner(folder).describe([CLIPS[0], broken, CLIPS[1]])
    assert isinstance(first, Description)
    assert isinstance(third, Description)
    assert isinstance(second, RowFailure)
    assert second.status == "unreadable"
    assert "broken" in str(second)


def test_a_model_that_is_not_there_says_what_to_do() -> None:
    with pytest.raises(SystemicError, match=r"LanguageBind/Video-LLaVA-7B-hf.*save_pretrained"):
        captioner("LanguageBind/Video-LLaVA-7B-hf")


def test_a_gpu_that_is_not_there_is_no_silent_cpu(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    # also on a machine that has one
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemicError, match="no GPU"):
        TransformersCaptioner(TransformersOptions(model=folder), QUESTION, "cuda", 1)


def test_a_model_s_own_code_is_never_run(tmp_path: Path) -> None:
    folder = Path(tiny_captioners.qwen(tmp_path / "model"))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').write('x')\n")
    config = (folder / "config.json").read_text()
    hook = '"auto_map": {"AutoModelForImageTextToText": "evil.Model"},'
    (folder / "config.json").write_text(config.replace("{", "{" + hook, 1))
    captioner(str(folder)).describe(CLIPS[:1])
    assert not (tmp_path / "ran").exists()


def test_finecliper_s_question_is_the_paper_s() -> None:
    assert question("finecliper").text == (
        "You are a facial expression analyst. Identify emotions by analyzing the detailed "
        "movements of various facial features (mouth, chin, eyes, etc.) and implied actions "
        "(breathing rate, gaze direction) across a sequence. Provide a detailed description of "
        "the movements of various facial features and implied actions concisely."
    )


def test_a_question_is_known_by_its_text(tmp_path: Path) -> None:
    path = tmp_path / "prompts.yaml"
    path.write_text("a: {text: ' What \n moves? '}\nb: {text: Who?}\nc: text\nd: {words: x}\n")
    assert question("a", str(path)).text == "What moves?"
    assert question("a", str(path)).hash == Question("other", "What moves?").hash
    assert question("a", str(path)).hash != question("b", str(path)).hash
    with pytest.raises(ConfigError, match="no prompt 'aa'; did you mean 'a'"):
        question("aa", str(path))
    with pytest.raises(ConfigError, match="c: expected text"):
        question("c", str(path))
    with pytest.raises(ConfigError, match="words: unknown key"):
        question("d", str(path))
