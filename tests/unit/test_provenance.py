"""Hashes of files are remembered, not guessed."""

import os

from expressway import provenance


def test_ledger_hashes_again_only_what_changed(tmp_path, monkeypatch):
    file = tmp_path / "v.mp4"
    file.write_bytes(b"one")
    ledger = provenance.HashLedger(tmp_path / "ledger.json")
    first = ledger.sha256(file, "v.mp4")
    ledger.save()
    calls = []
    original = provenance.file_digest
    monkeypatch.setattr(provenance, "file_digest", lambda p: calls.append(p) or original(p))
    again = provenance.HashLedger(tmp_path / "ledger.json")
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
    assert provenance.HashLedger(tmp_path / "ledger.json").sha256(tmp_path / "v")


def test_digest_ignores_key_order():
    assert provenance.digest({"a": 1, "b": 2}) == provenance.digest({"b": 2, "a": 1})
    assert provenance.digest({"a": 1}) != provenance.digest({"a": 2})
