"""Tiny models behind the command lines of docs/captions.md; what a changed question rebuilds."""

import tiny_captioners
from chat_server import ChatServer
from project import only_stages

from expressway.core.store import ShardReader

SENTENCE = "the brows go up and lips part"
FAMILIES = {
    "qwen": (tiny_captioners.qwen, "assistant\n"),
    "video_llava": (tiny_captioners.video_llava, "ASSISTANT:"),
}


def add_variant(project, name, **settings):
    def change(values):
        settings.setdefault("faces", "mediapipe")
        values["stages"]["captions"][name] = settings
        values["stages"]["text_embeddings"][name] = {
            "source": "captions.refined",
            "captions": name,
            "backbone": "local-dir:data/demo/backbone",
        }
        values["prepare"] += [f"text_embeddings/{name}"]

    project.config(change)


def rows(project, variant, shard="00000"):
    reader = ShardReader(project.folder / f"results/tiny/captions/{variant}/{shard}.parquet")
    return [reader.row(index) for index in range(len(reader))]


def test_local_models_of_both_families(project):
    for name, (make, before) in FAMILIES.items():
        folder = project.folder / "models" / name
        tiny_captioners.say(make(folder), SENTENCE, before)
        options = {"model": f"models/{name}", "max_new_tokens": 40}
        add_variant(project, name, captioner="transformers", transformers=options)
        project.expressway(
            *("stage", "captions", "--dataset", "tiny", "--variant", name, "--shard", "00000")
        )
        found = rows(project, name)
        assert {row["status"] for row in found} == {"ok"}
        assert {row["raw"] for row in found} == {SENTENCE}
        assert {row["model"] for row in found} == {f"models/{name}"}
        shown = project.expressway("show", f"results/tiny/captions/{name}/00000.parquet").stdout
        assert SENTENCE in shown
        assert "finecliper" in shown


def test_a_server_and_a_changed_question(project):
    with ChatServer() as server:
        options = {"base_url": server.url, "model": "tiny", "concurrency": 2}
        add_variant(project, "served", captioner="openai", openai=options, prompt="movements")
        assert only_stages(project.jobs()) == {"captions": 3, "text_embeddings": 3}
        project.snakemake("results/tiny/coverage/text_embeddings/served.json")
        assert server.requests == 24
        assert len({row["raw"] for row in rows(project, "served")}) == 8
        assert project.jobs("results/tiny/coverage/text_embeddings/served.json") == {}

        # another prompt, a note, another address, more patience: nothing to do
        prompts = project.folder / "config/prompts/captions.yaml"
        prompts.write_text(f"# a note\n{prompts.read_text()}\nmine: {{text: Who?}}\n")
        project.config(
            lambda values: values["stages"]["captions"]["served"]["openai"].update(attempts=2)
        )
        assert only_stages(project.jobs()) == {}

        # its own words: its captions and what reads them, nothing else
        project.edit("config/prompts/captions.yaml", "Describe only what moves", "Say what moves")
        assert only_stages(project.jobs()) == {"captions": 3, "text_embeddings": 3}
        project.snakemake("results/tiny/coverage/text_embeddings/served.json")
        assert server.requests == 48
