"""Cards: asked for and absent is an error; two jobs never share one unasked."""

import multiprocessing

import pytest

from expressway.core import devices
from expressway.core.errors import SystemicError


def test_no_gpu_asked_for():
    with devices.claim(0) as device:
        assert device == "cpu"


def test_a_gpu_that_is_not_there():
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        with devices.claim(1) as device:
            assert device.startswith("cuda:")
        return
    asked = pytest.raises(SystemicError, match=r"a GPU was asked for, but torch .* sees none")
    with asked, devices.claim(1):
        pass


def _hold(cards, entered, release):
    devices.visible_cards = lambda: cards
    with devices.claim(1) as device:
        entered.put(device)
        release.wait(20)


def test_a_card_has_one_job_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(devices, "POLL_SECONDS", 0.05)
    context = multiprocessing.get_context("fork")
    entered, release = context.Queue(), context.Event()
    jobs = [context.Process(target=_hold, args=(2, entered, release)) for _ in range(3)]
    for job in jobs:
        job.start()
    first = {entered.get(timeout=10), entered.get(timeout=10)}
    assert first == {"cuda:0", "cuda:1"}
    assert entered.empty()
    release.set()
    assert entered.get(timeout=10) in first
    for job in jobs:
        job.join()


def test_several_cards_are_taken_together(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(devices, "visible_cards", lambda: 3)
    monkeypatch.setattr(devices, "POLL_SECONDS", 0.01)
    with devices.claim_all(2) as found:
        assert found == ["cuda:0", "cuda:1"]
        with devices.claim(1) as other:
            assert other == "cuda:2"
    with devices.claim_all(3) as found:
        assert len(found) == 3
    with devices.claim_all(0) as found:
        assert found == []
    asked = pytest.raises(SystemicError, match="4 GPUs were asked for, but torch sees 3")
    with asked, devices.claim_all(4):
        pass


def test_no_card_is_held_while_waiting_for_others(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(devices, "visible_cards", lambda: 2)
    tries = iter(range(3))

    def meanwhile(_):
        # while two cards are waited for, another job can take the free one
        with devices.claim(1) as other:
            assert other == "cuda:0"
        if next(tries) == 2:
            held.close()

    monkeypatch.setattr(devices.time, "sleep", meanwhile)
    held = devices._try_lock(1)
    with devices.claim_all(2) as found:
        assert found == ["cuda:0", "cuda:1"]
