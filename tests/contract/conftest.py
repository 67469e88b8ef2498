"""A world of cached features that all contract tests read."""

import feature_world
import pytest


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> feature_world.FeatureWorld:
    return feature_world.make(tmp_path_factory.mktemp("features"))
