"""Every test of an importer runs in a project folder of its own."""

import pytest


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    home = tmp_path / "project"
    home.mkdir()
    monkeypatch.chdir(home)
    return home
