"""The methods text says how each stage was configured, in words."""

import pytest

from expressway.reporting.results import summarise
from expressway.reporting.sections.methods_text import paragraphs, works
from expressway.reporting.sections.provenance import Variant


def variant(stage, **config):
    return Variant("tiny", stage, "mine", 1, 0, ("abc",), {}, config)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (
            variant("parsing", parser="regions", model=None),
            "by drawing regions around the landmarks",
        ),
        (variant("parsing", parser="transformers", model="a/b"), "by the segmentation model a/b."),
        (variant("captions", captioner="action_units"), "from movements of the landmarks by rules"),
        (
            variant("captions", captioner="openai", openai={"model": "m"}, frames=8, prompt="p"),
            "written by m from up to 8 frames of a clip (prompt p)",
        ),
        (variant("attention", rule="centre"), "the middle of the face [hesp]"),
        (
            variant("attention", rule="clip_similarity", frames=8, backbone="ViT-B-32/openai"),
            "averaged over 8 frames, are most similar to the class's text under ViT-B-32/openai",
        ),
        (
            variant("teacher_embeddings", teacher="blip2", model="t5"),
            "The teacher [expclip] was t5",
        ),
        (
            variant("text_embeddings", source="captions.refined", encoder="clip", backbone="b"),
            "Refined captions were embedded by the text tower of b.",
        ),
        (
            variant("text_embeddings", encoder="transformers", backbone="b", model="t5"),
            "embedded by the text encoder t5.",
        ),
    ],
)
def test_a_stage_is_told_in_a_sentence(made, said):
    [text] = paragraphs([], [made], [], [], {})
    assert said in text
    assert "None" not in text


def test_a_method_is_told_with_protocols_and_prompt_sets(evaluated):
    *_, methods, measures = paragraphs([], [], summarise(evaluated.evaluations), [], {})
    assert "was evaluated zero-shot (tiny; prompts descriptions)." in methods
    assert "EmoCLIP [emoclip] (1 234 567 trained parameters)" in methods.replace("\u202f", " ")
    assert measures.startswith("We report unweighted (UAR)")


def test_works_of_stages_are_cited():
    [text] = paragraphs([], [variant("attention", rule="centre")], [], [], {"expressway": "0.1.0"})
    assert "Expressway 0.1.0 [expressway]" in text
    assert any(work.startswith("[hesp]") for work in works([variant("attention")], []))
