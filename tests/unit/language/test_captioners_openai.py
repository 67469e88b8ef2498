"""The client against a server on loopback; what servers do wrong is in tests/faults."""

import json
from typing import Any

import pytest
from chat_server import ChatServer, completion, send
from crops import crop
from pydantic import ValidationError

from expressway.language.captioners.base import Pictures, Question
from expressway.language.captioners.openai import (
    OpenAICaptioner,
    OpenAIOptions,
    data_url,
    key,
    read_answer,
)

QUESTION = Question("movements", "What moves?")
CLIPS = [Pictures(f"c{i}", [crop(10 * i), crop(10 * i + 1)], [0.0, 0.04]) for i in range(12)]
SECRET = "sk-do-not-tell"


def options(url: str, **changes: Any) -> OpenAIOptions:
    values = {"base_url": url, "model": "tiny", "first_wait_seconds": 0.01, **changes}
    return OpenAIOptions.model_validate(values)


def captioner(url: str, usable: Any = bool, **changes: Any) -> OpenAICaptioner:
    return OpenAICaptioner(options(url, **changes), QUESTION, usable)


def test_answers_belong_to_their_clips_and_come_in_order() -> None:
    with ChatServer() as server:
        said = [found.text for found in captioner(server.url).describe(CLIPS)]
        again = [found.text for found in captioner(server.url, concurrency=1).describe(CLIPS)]
    assert said == again
    assert len(set(said)) == len(CLIPS)


def test_the_request_is_what_the_protocol_asks_for() -> None:
    with ChatServer() as server:
        list(captioner(server.url, max_tokens=7, seed=3).describe(CLIPS[:1]))
        body, headers = server.bodies[0], server.headers[0]
    content = body["messages"][0]["content"]
    assert [part["type"] for part in content] == ["image_url", "image_url", "text"]
    assert content[0]["image_url"]["url"] == data_url(CLIPS[0].images[0])
    assert content[2]["text"] == QUESTION.text
    assert (body["model"], body["max_tokens"], body["temperature"], body["seed"]) == (
        *("tiny", 7, 0, 3),
    )
    assert "Authorization" not in headers


def test_the_key_goes_from_the_environment_into_the_header_and_nowhere_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LAB_KEY", SECRET)
    with ChatServer() as server:
        chosen = options(server.url, key_variable="LAB_KEY")
        client = OpenAICaptioner(chosen, QUESTION, bool)
        list(client.describe(CLIPS[:1]))
        assert server.headers[0]["Authorization"] == f"Bearer {SECRET}"
        assert SECRET not in json.dumps(server.bodies)
    told = [chosen.model_dump_json(), json.dumps(chosen.identity()), json.dumps(client.decoding)]
    assert all(SECRET not in text for text in [*told, client.model, repr(chosen)])


@pytest.mark.parametrize(
    ("url", "over_http", "sent"),
    [
        ("https://api.example.org/v1", False, True),
        ("http://127.0.0.1:8000/v1", False, True),
        ("http://localhost:8000/v1", False, True),
        ("http://[::1]:8000/v1", False, True),
        ("http://node7:8000/v1", False, False),
        ("http://node7:8000/v1", True, True),
        ("http://127.0.0.1.example.org/v1", False, False),
    ],
)
def test_the_key_is_not_sent_in_the_clear(
    monkeypatch: pytest.MonkeyPatch, url: str, over_http: bool, sent: bool
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    assert key(options(url, key_over_http=over_http)) == (SECRET if sent else None)


@pytest.mark.parametrize(
    "url", ["ftp://host/v1", "host:8000", "http://user:pass@host/v1", "http://host/v1?key=1", ""]
)
def test_odd_addresses_are_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        options(url)


def test_address_and_patience_do_not_make_a_store_stale() -> None:
    here = options("http://127.0.0.1:1/v1")
    there = options("https://elsewhere/v1", concurrency=1, attempts=2, budget_seconds=5)
    assert here.identity() == there.identity()
    assert here.identity() != options("http://127.0.0.1:1/v1", model="other").identity()


def test_an_unusable_answer_is_asked_for_once_more_and_not_for_ever() -> None:
    def empty_at_first(handler: Any, body: Any, before: int) -> bool:
        return before == 0 and send(handler, 200, completion(""))

    with ChatServer(empty_at_first) as server:
        (found,) = captioner(server.url).describe(CLIPS[:1])
        assert found.text
        assert found.flags == ("asked_again",)
        first, second = server.bodies
        assert first["temperature"] == 0 < second["temperature"]

    with ChatServer(lambda handler, body, before: send(handler, 200, completion(""))) as server:
        (found,) = captioner(server.url, ask_again=2).describe(CLIPS[:1])
        assert found.text == ""
        assert server.requests == 3


def test_a_refusal_is_not_asked_again() -> None:
    def refuse(handler: Any, body: Any, before: int) -> bool:
        said = completion(None, message={"refusal": "I can't help with that."})
        return send(handler, 200, said)

    with ChatServer(refuse) as server:
        (found,) = captioner(server.url, usable=lambda text: False).describe(CLIPS[:1])
        assert server.requests == 1
    assert found.flags == ("refusal",)
    assert found.text == "I can't help with that."


@pytest.mark.parametrize(
    ("choice", "text", "flags"),
    [
        ({"message": {"content": " up "}, "finish_reason": "stop"}, "up", ()),
        ({"message": {"content": "up"}, "finish_reason": "length"}, "up", ("cut_off",)),
        ({"message": {"content": None}, "finish_reason": "content_filter"}, "", ("refusal",)),
        ({"message": {"content": [{"type": "text", "text": "up"}, {"x": 1}]}}, "up", ()),
        ({"message": "odd"}, "", ()),
        ({}, "", ()),
    ],
)
def test_reading_answers(choice: dict[str, Any], text: str, flags: tuple[str, ...]) -> None:
    found = read_answer({"choices": [choice]})
    assert (found.text, found.flags) == (text, flags)
