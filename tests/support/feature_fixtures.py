"""The world of cached features as a fixture; a folder's conftest.py takes it from here."""

import feature_world
import pytest


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> feature_world.FeatureWorld:
    """One for all tests that read it; none may change it."""
    return feature_world.make(tmp_path_factory.mktemp("features"))
