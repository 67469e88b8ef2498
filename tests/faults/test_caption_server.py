"""What chat servers do wrong, and what the captions stage makes of it (cases 17 and 18)."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from chat_server import ChatServer, completion, send
from crops import crop, faces_row

from expressway.core.columns import blobs, frame_list
from expressway.core.errors import SystemicError
from expressway.core.journal import Journal
from expressway.core.manifest import Clip
from expressway.core.rows import Job, identities
from expressway.core.runner import run
from expressway.core.stage import Source
from expressway.core.store import ShardReader, ShardWriter
from expressway.language.captioners.base import Pictures, Question
from expressway.language.captioners.openai import OpenAICaptioner, OpenAIOptions
from expressway.language.captioners.requests import retry_after
from expressway.stages.captions import STAGE, CaptionsConfig

CLIP = Pictures("c0", [crop(0)], [0.0])
SECRET = "sk-do-not-tell"
SUPPORT = Path(__file__).parents[1] / "support"


def ask(server: ChatServer, **changes: Any) -> list[Any]:
    values = {"first_wait_seconds": 0.01, "timeout_seconds": 5.0, "attempts": 4, **changes}
    options = OpenAIOptions.model_validate({"base_url": server.url, "model": "tiny", **values})
    return list(OpenAICaptioner(options, Question("q", "What moves?"), bool).describe([CLIP]))


def failing(times: int, status: int, **headers: str) -> Any:
    def fault(handler: Any, body: Any, before: int) -> bool:
        return before < times and send(handler, status, b'{"error": "busy"}', **headers)

    return fault


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 529])
def test_a_server_in_trouble_is_asked_again(status: int) -> None:
    with ChatServer(failing(2, status)) as server:
        (found,) = ask(server)
        assert "lips part" in found.text
        assert server.requests == 3


def test_trouble_that_stays_costs_the_row_and_says_what_the_server_said() -> None:
    with ChatServer(failing(99, 500)) as server:
        (found,) = ask(server, attempts=3)
        assert found.status == "timeout"
        assert "c0" in str(found)
        assert "HTTP 500" in str(found)
        assert "busy" in str(found)
        assert server.requests == 3


def test_retry_after_is_waited_for() -> None:
    with ChatServer(failing(1, 429, Retry_After="1")) as server:
        start = time.monotonic()
        ask(server)
        # a lower bound only: nothing is asserted about how fast anything is
        assert time.monotonic() - start >= 1.0


def test_retry_after_as_a_date_and_as_nonsense() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert 25 < retry_after(soon) <= 30
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert [retry_after(value) for value in ("2.5", "-1", "soon", "", None)] == [2.5, 0, 0, 0, 0]


def test_waits_grow_and_differ() -> None:
    from expressway.language.captioners.requests import Budget, Limits, Poster, Trouble

    poster = Poster("http://127.0.0.1:9/v1", None, Limits(1, 9, 1.0, 10.0), Budget(None, None))
    waits: list[float] = []
    poster._stopped.wait = waits.append  # type: ignore[assignment,method-assign]
    for attempt in range(8):
        poster._wait(attempt, Trouble("busy"))
    longest = [1, 2, 4, 8, 10, 10, 10, 10]
    assert all(top / 2 <= wait <= top for wait, top in zip(waits, longest, strict=True))
    assert len(set(waits)) == 8


def test_a_server_that_hangs_is_left_after_the_timeout() -> None:
    def hang(handler: Any, body: Any, before: int) -> bool:
        server.released.wait(30)
        return True

    with ChatServer(hang) as server:
        (found,) = ask(server, timeout_seconds=0.3, attempts=2)
        assert found.status == "timeout"
        assert "no answer within 0.3 s" in str(found)
        server.released.set()


def test_a_server_that_drips_is_left_after_the_timeout() -> None:
    def drip(handler: Any, body: Any, before: int) -> bool:
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        while not server.released.wait(0.05):
            try:
                handler.wfile.write(b" ")
                handler.wfile.flush()
            except OSError:
                break
        return True

    with ChatServer(drip) as server:
        (found,) = ask(server, timeout_seconds=0.5, attempts=1)
        assert "did not end in time" in str(found)
        server.released.set()


@pytest.mark.parametrize("half", ["body", "json", "no choices", "empty", "not an object"])
def test_half_an_answer_is_asked_for_again(half: str) -> None:
    whole = completion("The lips part.")
    answers = {
        "json": whole[:40],
        "no choices": b'{"choices": []}',
        "empty": b"",
        "not an object": b"[1, 2]",
    }

    def fault(handler: Any, body: Any, before: int) -> bool:
        if before:
            return False
        if half != "body":
            return send(handler, 200, answers[half])
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(whole)))
        handler.end_headers()
        handler.wfile.write(whole[:40])
        handler.close_connection = True
        return True

    with ChatServer(fault) as server:
        (found,) = ask(server)
        assert "lips part" in found.text
        assert server.requests == 2


def test_an_endless_answer_is_not_read_to_the_end() -> None:
    with ChatServer(lambda h, b, n: send(h, 200, b" " * (5 << 20))) as server:
        (found,) = ask(server, attempts=1)
        assert "larger than 4 MiB" in str(found)


@pytest.mark.parametrize(
    ("status", "advice"),
    [(401, "key_variable"), (403, "may not use this model"), (404, "base_url")],
)
def test_what_no_patience_helps_with_stops_the_job(
    status: int, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    said = json.dumps({"error": f"bad key {SECRET}"}).encode()
    with ChatServer(lambda h, b, n: send(h, status, said)) as server:
        with pytest.raises(SystemicError, match=advice) as caught:
            ask(server)
        assert server.requests == 1
    assert SECRET not in str(caught.value)
    assert "***" in str(caught.value)


@pytest.mark.parametrize(
    ("said", "status"), [("picture too large", "invalid"), ("content_filter hit", "refused")]
)
def test_a_request_that_is_not_wanted_costs_its_row_only(said: str, status: str) -> None:
    with ChatServer(lambda h, b, n: send(h, 400, json.dumps({"error": said}).encode())) as server:
        (found,) = ask(server)
        assert (found.status, server.requests) == (status, 1)


def test_redirects_are_not_followed() -> None:
    with ChatServer(
        lambda h, b, n: send(h, 302, b"", Location="http://127.0.0.1:9/steal")
    ) as server:
        (found,) = ask(server)
        assert "HTTP 302" in str(found)


def test_a_server_that_is_away_stops_the_job() -> None:
    with ChatServer() as server:
        gone = server.url
    options = OpenAIOptions(base_url=gone, model="tiny", first_wait_seconds=0.01, attempts=2)
    client = OpenAICaptioner(options, Question("q", "What moves?"), bool)
    with pytest.raises(SystemicError, match="cannot be reached"):
        list(client.describe([CLIP]))


def test_many_rows_in_a_row_without_an_answer_stop_the_job() -> None:
    clips = [Pictures(f"c{i}", [crop(i)], [0.0]) for i in range(20)]
    with ChatServer(failing(99, 503)) as server:
        options = OpenAIOptions(
            base_url=server.url, model="m", first_wait_seconds=0.01, attempts=1, concurrency=1
        )
        client = OpenAICaptioner(options, Question("q", "What moves?"), bool)
        with pytest.raises(SystemicError, match="5 clips in a row"):
            list(client.describe(clips))
        assert server.requests == 5


# --- whole jobs -------------------------------------------------------------------------------


def clips(number: int) -> list[Clip]:
    return [Clip(f"c{i:02d}", f"c{i:02d}.mp4", "video") for i in range(number)]


def faces_store(path: Path, number: int) -> Source:
    fields = pa.schema(
        [
            frame_list("source_index", "int32"),
            frame_list("time", "float64"),
            frame_list("valid", "bool"),
            blobs("crops"),
        ]
    )
    with ShardWriter(path, fields, {}, images=True) as writer:
        for index, clip in enumerate(clips(number)):
            writer.write({"clip_id": clip.id, "status": "ok", **faces_row(index, frames=3)})
    return Source(path=path)


def make_job(folder: Path, url: str, number: int, name: str = "out", **changes: Any) -> Job:
    openai = {
        "base_url": url,
        "model": "tiny",
        "first_wait_seconds": 0.01,
        "concurrency": 2,
        "attempts": 2,
        **changes,
    }
    config = CaptionsConfig.model_validate(
        {"captioner": "openai", "openai": openai, "frames": 2, "prompt": "q"}
        | {"prompts": str(folder / "prompts.yaml"), "batch_size": 4}
    )
    (folder / "prompts.yaml").write_text("q: {text: 'What moves in these pictures?'}\n")
    faces = folder / "faces.parquet"
    source = Source(path=faces) if faces.exists() else faces_store(faces, number)
    rows = clips(number)
    return Job(
        STAGE,
        config,
        rows,
        folder,
        {"faces": source},
        folder / f"{name}.parquet",
        {},
        journal=folder / f"{name}.sqlite",
        keys=[clip.id for clip in rows],
    )


def table(path: Path) -> list[dict[str, Any]]:
    reader = ShardReader(path)
    return [reader.row(index) for index in range(len(reader))]


def test_a_budget_ends_the_job_and_the_next_one_goes_on_where_it_ended(tmp_path: Path) -> None:
    with ChatServer() as server:
        with pytest.raises(SystemicError, match="budget_requests: 3 requests made"):
            run(make_job(tmp_path, server.url, 6, budget_requests=3))
        assert not (tmp_path / "out.parquet").exists()
        counts = run(make_job(tmp_path, server.url, 6))
        assert counts == {"ok": 6}
        assert set(server.seen.values()) == {1}


def test_a_wait_beyond_the_budget_ends_the_job_at_once(tmp_path: Path) -> None:
    busy = failing(9, 429, Retry_After="3600")
    with ChatServer(busy) as server, pytest.raises(SystemicError, match="3600 s"):
        run(make_job(tmp_path, server.url, 2, budget_seconds=60))


def test_odd_answers_become_rows_that_keep_the_raw_text(tmp_path: Path) -> None:
    answers = [
        "I'm sorry, I can't assist with that.",
        "",
        "What moves in these pictures?",
        "The eyes narrow and he looks angry.",
        "=cmd|' /C calc'!A0 <script>alert(1)</script> and the lips part",
    ]
    order: dict[str, int] = {}

    def fault(handler: Any, body: Any, before: int) -> bool:
        from chat_server import pictures

        place = order.setdefault(pictures(body), len(order))
        return send(handler, 200, completion(answers[place]))

    with ChatServer(fault) as server:
        run(make_job(tmp_path, server.url, 5, concurrency=1))
    rows = table(tmp_path / "out.parquet")
    assert [row["status"] for row in rows] == ["refused", "invalid", "invalid", "ok", "ok"]
    assert [row["raw"] for row in rows] == answers
    assert [row["refined"] for row in rows[:4]] == [None, None, None, "The eyes narrow."]
    assert rows[0]["flags"] == ["asked_again", "refusal"]
    assert rows[1]["flags"] == ["asked_again", "empty"]
    assert rows[2]["flags"] == ["asked_again", "prompt_echo"]
    assert all(row["prompt_id"] == "q" and row["prompt_hash"] for row in rows)


def test_the_key_stands_in_no_file_of_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    with ChatServer() as server:
        run(make_job(tmp_path, server.url, 2))
        assert server.headers[0]["Authorization"].endswith(SECRET)
    for path in tmp_path.rglob("*"):
        assert SECRET.encode() not in path.read_bytes()
    assert SECRET not in "".join(capfd.readouterr())
    assert SECRET not in json.dumps(ShardReader(tmp_path / "out.parquet").footer)


SCRIPT = """
import sys
sys.path[:0] = [{support!r}, {tests!r}]
from pathlib import Path
import test_caption_server as t
from expressway.core.runner import run
run(t.make_job(Path({folder!r}), {url!r}, {number}))
"""


def start(folder: Path, url: str, number: int) -> subprocess.Popen[bytes]:
    code = SCRIPT.format(
        support=str(SUPPORT), tests=str(Path(__file__).parent), folder=str(folder), url=url,
        number=number,
    )  # fmt: skip
    return subprocess.Popen([sys.executable, "-c", code], start_new_session=True)


@pytest.fixture
def slow_server() -> Iterator[ChatServer]:
    def slowly(handler: Any, body: Any, before: int) -> bool:
        time.sleep(0.15)
        return False

    with ChatServer(slowly) as server:
        yield server


def finished(path: Path, job: Job) -> list[str]:
    if not path.exists():
        return []
    journal = Journal(path, STAGE.schema(job.config))
    try:
        return [key for key in identities(job) if journal.get(key) is not None]
    finally:
        journal.close()


def test_a_killed_job_goes_on_and_asks_nothing_twice(
    tmp_path: Path, slow_server: ChatServer
) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    number = 24
    run(make_job(whole, slow_server.url, number))
    slow_server.seen.clear()

    cut = tmp_path / "cut"
    cut.mkdir()
    job = make_job(cut, slow_server.url, number)
    process = start(cut, slow_server.url, number)
    deadline = time.monotonic() + 60
    while len(finished(cut / "out.sqlite", job)) < 5 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = len(finished(cut / "out.sqlite", job))
    assert 5 <= done < number
    assert not (cut / "out.parquet").exists()
    time.sleep(0.5)  # requests that were under way arrive
    before = slow_server.requests

    run(make_job(cut, slow_server.url, number))
    assert slow_server.requests - before == number - done
    # at most the two rows under way were asked for a second time
    assert sum(count > 1 for count in slow_server.seen.values()) <= 2
    assert table(cut / "out.parquet") == table(whole / "out.parquet")


def test_a_grown_shard_pays_for_its_new_rows_only(tmp_path: Path) -> None:
    with ChatServer() as server:
        run(make_job(tmp_path, server.url, 4))
        (tmp_path / "faces.parquet").unlink()
        run(make_job(tmp_path, server.url, 6))
        assert server.requests == 6
    assert len(table(tmp_path / "out.parquet")) == 6
