"""The command line: errors of ours are one line and exit 1; help loads nothing heavy."""

import subprocess
import sys

import pytest


def run(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "expressway", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
    )


@pytest.mark.parametrize("command", [[], ["stage"], ["import", "folder"], ["demo", "create"]])
def test_help(command):
    done = run(*command, "--help")
    assert done.returncode == 0
    assert "Usage:" in done.stdout


def test_help_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['expressway', '--help']\n"
        "from expressway.cli import app\n"
        "try: app()\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'pyarrow', 'pydantic', 'cv2', 'av', 'transformers'}\n"
        "print('loaded', sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "loaded []" in done.stdout


def test_planning_loads_no_torch():
    code = (
        "import sys, expressway.planning.targets, expressway.commands.train\n"
        "heavy = {'torch', 'cv2', 'av', 'transformers', 'open_clip', 'mediapipe', 'sklearn'}\n"
        "print('loaded', sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "loaded []" in done.stdout


def test_errors_are_told_without_a_traceback(tmp_path):
    done = run("validate", cwd=tmp_path)
    assert done.returncode == 1
    assert "config/config.yaml: no such file" in done.stdout
    assert "Traceback" not in done.stderr
    done = run("show", "nothing.parquet", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: nothing.parquet: no such shard table")
