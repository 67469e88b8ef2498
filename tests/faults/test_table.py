"""docs/reliability.md names tests that exist."""

import re

from project import ROOT


def test_every_case_has_a_test_that_exists():
    page = (ROOT / "docs/reliability.md").read_text()
    cases = [line for line in page.splitlines() if line.startswith("| ")][1:]
    assert len(cases) > 30
    for case in cases:
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", case)
        assert named, f"no test: {case}"
        for path, name in named:
            assert f"def {name}(" in (ROOT / path).read_text(), f"{path}: {name}"
