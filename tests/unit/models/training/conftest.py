"""The world of cached features for the tests in this folder."""

from feature_fixtures import world

__all__ = ["world"]
