"""Profiles: what they say takes effect, and no card idles in a group of CPU stages."""

import re

import yaml
from project import ROOT


def profile(name):
    return yaml.safe_load((ROOT / "profiles" / name / "config.yaml").read_text())


def rules():
    text = "".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk"))
    return set(re.findall(r"^rule (\w+):", text, re.MULTILINE))


def test_slurm_repeats_nothing_of_default():
    """profiles/default is loaded beside --profile and wins over it."""
    assert set(profile("slurm")) & set(profile("default")) == set()


def test_slurm_names_real_rules():
    slurm = profile("slurm")
    named = {*slurm["set-resources"], *slurm["set-threads"]}
    named |= {group.split("=")[0] for group in slurm["groups"]}
    assert named <= rules()


def test_no_gpu_rule_stands_in_a_group():
    slurm = profile("slurm")
    grouped = {group.split("=")[0] for group in slurm["groups"]}
    with_gpu = {rule for rule, wanted in slurm["set-resources"].items() if wanted.get("gpu")}
    assert with_gpu
    assert grouped & with_gpu == set()


def test_every_rule_is_documented_logged_and_measured():
    for path in (ROOT / "workflow/rules").glob("*.smk"):
        for block in re.split(r"^rule ", path.read_text(), flags=re.MULTILINE)[1:]:
            name = block.partition(":")[0]
            for part in ('"""', "log:", "benchmark:", "threads:", "resources:", "conda:"):
                assert part in block, f"{path.name}: rule {name} has no {part}"
            assert "run:" not in block, name
            assert "lambda" not in block, name
