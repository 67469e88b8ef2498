"""What all tests share: quiet libraries, no network, forbidden skips, the tiny world."""

import os

import pytest
from project import CLIPS, SPARE, Project, lay_out

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("OMP_NUM_THREADS", "1")

REQUIRE_SYSTEM = os.environ.get("EXPRESSWAY_REQUIRE_SYSTEM") == "1"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Where system packages are promised (EXPRESSWAY_REQUIRE_SYSTEM=1), a skip is a failure."""
    outcome = yield
    report = outcome.get_result()
    if REQUIRE_SYSTEM and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"skipped although EXPRESSWAY_REQUIRE_SYSTEM=1: {reason}"


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """A rendered world: the videos of the tiny data set and a few to add."""
    from expressway.data import demo

    folder = tmp_path_factory.mktemp("world") / "world"
    demo.create(folder, CLIPS + SPARE, 11)
    return folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory, world):
    """A project whose whole workflow has run once. Tests work on copies of it."""
    folder = tmp_path_factory.mktemp("finished") / "project"
    lay_out(folder, world)
    project = Project(folder)
    project.snakemake()
    return project


@pytest.fixture
def project(finished, tmp_path):
    """A copy of the finished project, times and records included."""
    return finished.copy(tmp_path / "project")
