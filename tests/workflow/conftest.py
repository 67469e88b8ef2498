"""The tiny world, rendered once; a project whose workflow has run once; copies for the tests."""

import pytest
from project import CLIPS, SPARE, Project, lay_out


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """A rendered world: the videos of the tiny data set and a few to add."""
    from expressway import demo

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
