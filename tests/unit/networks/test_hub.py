"""Files in a hub's cache are held to their names; only those of repositories that got new ones."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hub_server import etag
from huggingface_hub import constants

from expressway.core.errors import SystemicError
from expressway.networks.hub import checked

GOOD, BAD = b"what was meant", b"what was maent"
SHA256 = hashlib.sha256(GOOD).hexdigest()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def put(cache: Path, content: bytes, name: str = SHA256, repository: str = "tiny") -> Path:
    """Put a file where the hub's client would, with a link from a commit to it."""
    folder = cache / f"models--lab--{repository}"
    blob = folder / "blobs" / name
    link = folder / "snapshots/commit/sub" / f"{name[:4]}.bin"
    for path in (blob, link):
        path.parent.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(content)
    if not link.is_symlink():
        link.symlink_to(f"../../../blobs/{name}")
    return blob


def putting(cache: Path, *contents: bytes, **more: str) -> Callable[[], Path]:
    """Return a loader that gets these contents, one a call; it keeps what is there."""
    rest = iter(contents)
    blob = cache / f"models--lab--tiny/blobs/{more.get('name', SHA256)}"
    return lambda: blob if blob.exists() else put(cache, next(rest), **more)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (SHA256, GOOD),
        (etag("config.json", GOOD), GOOD),
        (hashlib.sha1(GOOD).hexdigest(), GOOD),
        # a server's own names say nothing about the content
        ("0123abcd-7", BAD),
        (hashlib.md5(GOOD).hexdigest(), BAD),
    ],
    ids=["sha256", "git", "sha1", "other", "md5"],
)
def test_whole_files_and_names_that_are_no_hashes_are_kept(cache, name, content) -> None:
    assert list(checked(putting(cache, content, name=name))) == []


@pytest.mark.parametrize("name", [SHA256, etag("config.json", GOOD)], ids=["sha256", "git"])
def test_damaged_once(cache: Path, name: str) -> None:
    load = putting(cache, BAD, GOOD, name=name)
    (line,) = checked(load)
    assert line.startswith(f"lab/tiny: sub/{name[:4]}.bin came damaged")
    assert load().read_bytes() == GOOD


def test_damaged_twice_removes_all_that_is_damaged(cache: Path) -> None:
    second = hashlib.sha256(b"second").hexdigest()

    def load() -> None:
        put(cache, BAD)
        put(cache, BAD, second)

    found = hashlib.sha256(BAD).hexdigest()
    with pytest.raises(SystemicError, match=f"twice.*expected hash .*, found {found}"):
        list(checked(load))
    assert not [path for path in cache.rglob("*") if not path.is_dir()]


def test_a_loader_that_fails_on_what_is_damaged_is_called_again(cache: Path) -> None:
    fetch = putting(cache, BAD, GOOD)

    def load() -> None:
        if fetch().read_bytes() != GOOD:
            raise RuntimeError("cannot be read")

    assert len(list(checked(load))) == 1


def test_other_failures_are_the_loaders_own(cache: Path) -> None:
    def load() -> None:
        put(cache, GOOD)
        raise KeyError("of its own")

    with pytest.raises(KeyError, match="of its own"):
        list(checked(load))


def test_files_that_a_killed_run_left_are_read_when_another_comes(cache: Path) -> None:
    left = put(cache, BAD, hashlib.sha256(b"first part").hexdigest())
    assert len(list(checked(putting(cache, GOOD)))) == 1
    assert not left.exists()


def test_repositories_that_nothing_came_to_are_not_read(cache: Path) -> None:
    old = put(cache, BAD, repository="old")
    assert list(checked(putting(cache, GOOD))) == []
    assert old.exists()


def test_what_repositories_have_in_common_is_damaged_for_both(cache: Path) -> None:
    """The client of hub 2 keeps equal files once, beside the repositories that link to them."""
    common = cache / "blobs/ab/abcd"
    common.parent.mkdir(parents=True)
    fetch = putting(cache, BAD, GOOD)

    def load() -> None:
        blob = fetch()
        if not blob.is_symlink():
            blob.rename(common)
            blob.symlink_to(common)

    (line,) = checked(load)
    assert "came damaged" in line
    assert common.read_bytes() == GOOD


def test_files_that_a_user_keeps_elsewhere_are_only_read(cache: Path, tmp_path_factory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "weights"
    elsewhere.write_bytes(BAD)
    blob = cache / f"models--lab--tiny/blobs/{SHA256}"
    blob.parent.mkdir(parents=True)
    blob.symlink_to(elsewhere)
    other = etag("config.json", GOOD)
    assert len(list(checked(putting(cache, GOOD, name=other)))) == 1
    assert elsewhere.exists()
    assert not blob.is_symlink()
