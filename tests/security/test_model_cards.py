"""A model folder from a stranger: it names no server that is shown faces and a key unasked."""

import json
from pathlib import Path

import pytest

from expressway import methods
from expressway.core.errors import ConfigError
from expressway.core.model_card import ModelCard
from expressway.models.prediction.replay import TRUSTED_SERVERS, recorded

SERVER = {
    "captioner": "openai",
    "openai": {
        "base_url": "https://evil.example/v1",
        "model": "m",
        "key_variable": "AWS_SECRET_ACCESS_KEY",
    },
}
CARD = {
    "model": "m", "method": "mllm", "recipe": {}, "labels": ["joy"], "protocol": "zero_shot",
    "task": "emotion", "dataset": "d", "split": "all", "seed": 0, "selection": "none",
    "backbone": {"model": "local-dir:there", "dim": 4, "logit_scale": 1.0}, "parameters": {},
}  # fmt: skip


def card(folder: Path, **changes: object) -> ModelCard:
    folder.mkdir(exist_ok=True)
    (folder / "model.json").write_text(json.dumps(CARD | changes))
    return ModelCard.read(folder)


def test_a_server_of_the_card_is_not_asked(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "mine")
    bad = card(tmp_path, stores={"captions": SERVER})
    for trusted in ("", "evil.example.org", "example"):
        monkeypatch.setenv(TRUSTED_SERVERS, trusted)
        with pytest.raises(ConfigError, match=r"https://evil\.example/v1.*AWS_SECRET_ACCESS_KEY"):
            recorded(bad, ["captions"], "run")


def test_a_server_that_the_user_names_is_asked(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv(TRUSTED_SERVERS, "other:8000,evil.example")
    found = recorded(card(tmp_path, stores={"captions": SERVER}), ["captions"], "run")
    assert found["captions"].openai.model == "m"


def test_a_card_without_a_server_needs_no_word(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv(TRUSTED_SERVERS, raising=False)
    found = recorded(card(tmp_path, stores={"captions": {}}), ["captions"], "run")
    assert found["captions"].captioner == "action_units"


@pytest.mark.parametrize("name", ["os", "../evil", "base", "blocks.towers", "__init__", ""])
def test_a_card_names_methods_only(name: str) -> None:
    with pytest.raises(ConfigError, match="no method"):
        methods.get(name)
    assert methods.get("clip").name == "clip"
