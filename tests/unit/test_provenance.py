"""Fingerprints: behaviour counts, prose does not; hashes are remembered, not guessed."""

import os
from pathlib import Path

import pytest

from expressway import provenance, training


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the rules for source look-up over a package in a temporary folder."""
    folder = tmp_path / "expressway"
    folder.mkdir()
    (folder / "a.py").write_text(
        '"""Doc."""\n\n\ndef f(x):\n    """Doc."""\n    from expressway import b\n'
        "    return b.g(x)  # why\n"
    )
    (folder / "b.py").write_text("from expressway.store import x\n\ndef g(x):\n    return x + 1\n")
    (folder / "store.py").write_text("x = 1\n")
    monkeypatch.setattr(provenance, "__file__", str(folder / "provenance.py"))
    for cached in ("code_fingerprint", "_source", "_read"):
        getattr(provenance, cached).cache_clear()
    yield folder
    for cached in ("code_fingerprint", "_source", "_read"):
        getattr(provenance, cached).cache_clear()


def fresh(module="expressway.a"):
    for cached in ("code_fingerprint", "_source", "_read"):
        getattr(provenance, cached).cache_clear()
    return provenance.code_fingerprint(module)


def test_docstrings_comments_and_layout_do_not_count(package):
    before = fresh()
    (package / "a.py").write_text(
        '"""Other."""\ndef f( x ):\n    """Other."""\n\n    from expressway import b\n'
        "    # because\n    return b.g( x )\n"
    )
    assert fresh() == before


def test_lazily_imported_modules_of_ours_count(package):
    before = fresh()
    (package / "b.py").write_text("from expressway.store import x\n\ndef g(x):\n    return x + 2\n")
    assert fresh() != before


def test_plumbing_does_not_count(package):
    before = fresh()
    (package / "store.py").write_text("x = 2\n")
    assert fresh() == before


def test_every_file_of_training_counts_for_models():
    folder = Path(training.__file__).parent
    files = {f"expressway.training.{file.stem}" for file in folder.glob("*.py")}
    files = files - {"expressway.training.__init__"} | {"expressway.training"}
    assert files <= provenance.code_modules("expressway.training")


def test_plumbing_is_what_the_design_lists():
    assert {name.split(".")[1] for name in provenance.PLUMBING} == {
        "store",
        "stage",
        "workers",
        "cli",
        "config",
        "provenance",
        "errors",
        "manifest",
    }


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
