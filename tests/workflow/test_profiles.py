"""Profiles: what they say takes effect, and no card idles in a group of CPU stages."""

import os
import re
import shutil
import subprocess
import sys

import pytest
import yaml
from project import ROOT

from expressway import stages

PROFILE = ROOT / "profiles/slurm/config.yaml"


def profile(name):
    return yaml.safe_load((ROOT / "profiles" / name / "config.yaml").read_text())


def rules():
    text = "".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk"))
    return {*re.findall(r"^rule (\w+):", text, re.MULTILINE), *stages.NAMES}


def test_slurm_repeats_nothing_of_default():
    """profiles/default is loaded beside --profile and wins over it."""
    assert set(profile("slurm")) & set(profile("default")) == set()


@pytest.fixture(scope="module")
def parsed():
    """What Snakemake's own parser makes of both profiles together."""
    from snakemake.cli import parse_args

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return parse_args(["--profile", "profiles/slurm"])[1]


def value(resource, attempt):
    found = resource
    if resource.is_evaluable():
        facts = {"input": None, "threads": 1, "rulename": "", "async_run": None}
        found = resource.evaluate(wildcards=None, attempt=attempt, **facts)
    return getattr(found, "value", found)


def test_every_key_of_both_profiles_takes_effect(parsed):
    for name in ("slurm", "default"):
        for key, wanted in profile(name).items():
            found = getattr(parsed, key.replace("-", "_"))
            if key == "set-resources":
                wanted = {r: {k: str(v) for k, v in given.items()} for r, given in wanted.items()}
                found = {r: {k: v.raw for k, v in given.items()} for r, given in found.items()}
                found = {r: {k: str(v) for k, v in given.items()} for r, given in found.items()}
            elif key == "set-threads":
                found = {rule: value(given, 1) for rule, given in found.items()}
            elif key == "groups":
                wanted = dict(line.split("=") for line in wanted)
            elif key == "rerun-triggers":
                wanted, found = set(wanted), {str(trigger) for trigger in found}
            assert found == wanted, f"profiles/{name}: {key}"


def test_every_job_that_is_submitted_asks_for_more_memory_when_it_is_tried_again(parsed):
    local = {"all", "stores"}
    for rule in rules() - local:
        memory = parsed.set_resources[rule]["mem_mb"]
        first, second = (value(memory, attempt) for attempt in (1, 2))
        assert second == 2 * first, rule


def test_the_lines_marked_edit_take_effect(parsed, tmp_path, monkeypatch):
    from snakemake.cli import parse_args

    text = PROFILE.read_text()
    (tmp_path / "config.yaml").write_text(re.sub(r"^# (default-|  - )", r"\1", text, flags=re.M))
    monkeypatch.chdir(ROOT)
    found = parse_args(["--profile", str(tmp_path)])[1].default_resources
    assert value(found["slurm_partition"], 1) == "cpu"
    assert value(found["slurm_account"], 1) == "lab"


def test_the_lines_on_arrays_name_rules_that_stand_in_no_group():
    named = re.search(r"^# slurm-array-jobs: (.*)$", PROFILE.read_text(), re.MULTILINE)[1].split(
        ","
    )
    assert set(named) <= rules()
    assert not set(named) & {line.partition("=")[0] for line in profile("slurm")["groups"]}


def test_a_copy_in_the_users_folder_is_found_by_its_name(tmp_path):
    folder = tmp_path / "snakemake/slurm"
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "profiles/slurm/config.yaml", folder)
    code = "from snakemake.cli import parse_args as p; print(p(['--profile', 'slurm'])[1].executor)"
    environment = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == "slurm", done.stderr


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
