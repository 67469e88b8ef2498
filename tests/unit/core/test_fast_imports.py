"""Garbage collection around imports: off within, as it was after."""

import gc

import pytest

from expressway.core.fast_imports import uncollected


def test_garbage_waits_until_imports_are_done() -> None:
    assert gc.isenabled()
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_failed_import_turns_collection_on_again() -> None:
    with pytest.raises(ImportError), uncollected():
        raise ImportError
    assert gc.isenabled()


def test_who_does_not_collect_is_left_alone() -> None:
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
