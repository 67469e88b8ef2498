"""What all tests share: quiet libraries, no network, skips that can be forbidden."""

import os

import pytest

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
