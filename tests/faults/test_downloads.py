"""``expressway fetch`` from a hub on loopback, whole and damaged on the way."""

import hashlib
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
import tiny_segformer
import yaml
from hub_server import HubServer, etag
from project import ROOT

CLIP = ROOT / "data/demo/backbone"
WEIGHTS, DESCRIPTION = "open_clip_model.safetensors", "open_clip_config.json"
BACKBONES = ("whole", "weights", "description", "both", "cut", "always")


def last_bit(content: bytes) -> bytes:
    """Damage that only a hash shows: another number in the last tensor."""
    return content[:-1] + bytes([content[-1] ^ 1])


def header(content: bytes) -> bytes:
    return bytes(8) + content[8:]


def faults(repository: str, name: str, content: bytes, before: int) -> bytes:
    first = before == 0
    match repository, name:
        case ["lab/weights", "open_clip_model.safetensors"] if first:
            return last_bit(content)
        case ["lab/description", "open_clip_config.json"] if first:
            return content.replace(b'"embed_dim": ', b'"embed_dim":-')
        case ["lab/both", _] if first:
            return header(content)
        case ["lab/cut", "open_clip_model.safetensors"] if first:
            return content[: len(content) // 2]
        case ["lab/parser", "model.safetensors"] if first:
            return header(content)
        case ["lab/always", "open_clip_model.safetensors"]:
            return last_bit(content)
    return content


def configure(folder: Path, backbones: tuple[str, ...]) -> Path:
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    config |= {"models": {}, "evaluations": {}, "comparisons": []}
    parser = {"faces": "mediapipe", "parser": "transformers", "model": "lab/parser"}
    config["stages"]["parsing"]["hub"] = parser
    for name in backbones:
        variant = {"faces": "mediapipe", "backbone": f"hf-hub:lab/{name}"}
        config["stages"]["visual_features"][name] = variant
    config["prepare"] = ["parsing/hub", *(f"visual_features/{name}" for name in backbones)]
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def run_fetch(config: Path, home: Path, url: str, offline: str) -> subprocess.CompletedProcess[str]:
    env = {
        **os.environ,
        "HF_ENDPOINT": url,
        "HF_HOME": str(home),
        "HF_HUB_OFFLINE": offline,
        "HF_HUB_DISABLE_XET": "1",
    }
    # the cache may also be named by its own variable, which goes before HF_HOME
    env.pop("HF_HUB_CACHE", None)
    command = [sys.executable, "-m", "expressway", "fetch", "--config", str(config)]
    return subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def fetched(tmp_path_factory):
    """One fetch of a parser and of a backbone for each kind of damage."""
    folder = tmp_path_factory.mktemp("hub")
    parser = Path(tiny_segformer.save(folder / "parser"))
    served = {"lab/parser": parser, **{f"lab/{name}": CLIP for name in BACKBONES}}
    home = folder / "huggingface"
    with HubServer(served, faults) as server:
        done = run_fetch(configure(folder, BACKBONES), home, server.url, "0")
    return SimpleNamespace(
        folder=folder,
        home=home,
        parser=parser,
        url=server.url,
        sent=Counter(server.sent),
        status=done.returncode,
        lines=done.stdout.splitlines(),
        error=done.stderr,
    )


def told(fetched, stage: str) -> list[str]:
    return [line for line in fetched.lines if line.startswith(f"{stage}: ")]


def test_what_comes_whole_is_fetched_once(fetched) -> None:
    assert told(fetched, "stages.visual_features.whole") == ["stages.visual_features.whole: ready"]
    assert fetched.sent[f"lab/whole/{WEIGHTS}"] == fetched.sent[f"lab/whole/{DESCRIPTION}"] == 1


@pytest.mark.parametrize(
    ("stage", "repository", "files"),
    [
        ("visual_features.weights", "lab/weights", [WEIGHTS]),
        ("visual_features.description", "lab/description", [DESCRIPTION]),
        # a loader that stops at the first damaged file asks for the second one later
        ("visual_features.both", "lab/both", [DESCRIPTION, WEIGHTS]),
        ("parsing.hub", "lab/parser", ["model.safetensors"]),
    ],
)
def test_what_comes_damaged_is_fetched_once_more(fetched, stage, repository, files) -> None:
    *again, ready = told(fetched, f"stages.{stage}")
    assert ready == f"stages.{stage}: ready"
    assert [line.split(" came damaged")[0] for line in again] == [
        f"stages.{stage}: {repository}: {file}" for file in files
    ]
    sent = {key: n for key, n in fetched.sent.items() if key.startswith(f"{repository}/")}
    assert {key for key, n in sent.items() if n != 1} == {f"{repository}/{f}" for f in files}
    assert max(sent.values()) == 2


def test_a_cut_connection_is_the_clients_matter(fetched) -> None:
    assert told(fetched, "stages.visual_features.cut") == ["stages.visual_features.cut: ready"]
    assert fetched.sent[f"lab/cut/{WEIGHTS}"] == 2


def test_what_comes_damaged_twice_is_refused_with_file_and_hashes(fetched) -> None:
    assert fetched.status == 1
    assert "1 could not be loaded" in fetched.error
    assert "stages.visual_features.always: ready" not in fetched.lines
    assert fetched.sent[f"lab/always/{WEIGHTS}"] == 2
    content = (CLIP / WEIGHTS).read_bytes()
    expected, found = (hashlib.sha256(c).hexdigest() for c in (content, last_bit(content)))
    assert f"lab/always: {WEIGHTS} came damaged twice" in fetched.error
    assert f"expected hash {expected}, found {found}" in fetched.error


def test_nothing_damaged_stays_in_the_cache(fetched) -> None:
    sources = {"lab/parser": fetched.parser, **{f"lab/{name}": CLIP for name in BACKBONES}}
    links = list(fetched.home.glob("hub/models--*/snapshots/*/*"))
    for link in links:
        repository = link.relative_to(fetched.home / "hub").parts[0].removeprefix("models--")
        source = sources[repository.replace("--", "/")] / link.name
        assert link.read_bytes() == source.read_bytes(), link
    blobs = {path.resolve() for path in fetched.home.glob("hub/models--*/blobs/*")}
    assert blobs == {link.resolve() for link in links}
    kept = {link.name for link in links if "always" in str(link)}
    assert kept == {DESCRIPTION}


def test_what_was_fetched_needs_no_network(fetched) -> None:
    good = tuple(name for name in BACKBONES if name != "always")
    # the server is gone
    done = run_fetch(configure(fetched.folder, good), fetched.home, fetched.url, "1")
    assert done.returncode == 0, done.stderr
    wanted = {"stages.parsing.hub", *(f"stages.visual_features.{name}" for name in good)}
    assert {f"{stage}: ready" for stage in wanted} <= set(done.stdout.splitlines())


def test_the_servers_names_are_those_of_git() -> None:
    """The names are of git's own making, not of the code that is tested."""
    path = CLIP / DESCRIPTION
    command = ["git", "hash-object", "--no-filters", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert etag(path.name, path.read_bytes()) == done.stdout.strip()
