"""Hashes of files are remembered, not guessed."""

import os

from expressway.core import fingerprints


def test_ledger_hashes_again_only_what_changed(tmp_path, monkeypatch):
    file = tmp_path / "v.mp4"
    file.write_bytes(b"one")
    ledger = fingerprints.HashLedger(tmp_path / "ledger.json")
    first = ledger.sha256(file, "v.mp4")
    ledger.save()
    calls = []
    original = fingerprints.file_digest
    monkeypatch.setattr(fingerprints, "file_digest", lambda p: calls.append(p) or original(p))
    again = fingerprints.HashLedger(tmp_path / "ledger.json")
    assert again.sha256(file, "v.mp4") == first
    assert calls == []
    file.write_bytes(b"two")
    os.utime(file, ns=(1, 1))
    assert again.sha256(file, "v.mp4") != first
    assert calls == [file]
    assert again.sha256(tmp_path / "missing", "missing") is None


def test_a_broken_ledger_is_only_slow(tmp_path):
    (tmp_path / "ledger.json").write_text("{")
    (tmp_path / "v").write_bytes(b"x")
    assert fingerprints.HashLedger(tmp_path / "ledger.json").sha256(tmp_path / "v")


def test_digest_ignores_key_order():
    assert fingerprints.digest({"a": 1, "b": 2}) == fingerprints.digest({"b": 2, "a": 1})
    assert fingerprints.digest({"a": 1}) != fingerprints.digest({"a": 2})


def test_a_folder_counts_by_its_images(tmp_path):
    folder = tmp_path / "clip"
    folder.mkdir()
    (folder / "1.jpg").write_bytes(b"one")
    before = fingerprints.content_digest(folder)
    for name in (".DS_Store", "Thumbs.db", "._1.jpg"):
        (folder / name).write_bytes(b"what a file browser leaves")
    assert fingerprints.content_digest(folder) == before
    (folder / "2.jpg").write_bytes(b"two")
    assert fingerprints.content_digest(folder) != before
