"""Kills jobs of the workflow at their commit points. On the PYTHONPATH of tests/chaos only.

Everything that is kept on disk goes through five steps: a temporary file is made, flushed to the
disk, renamed; the name is there; its folder is flushed. A job (a process of ``python -m
expressway``) is killed at one of them, drawn by chance from KILLER_SEED and the job's own words;
once, so that its next attempt can pass. What was killed where is noted in KILLER_NOTES.
"""

import os
import random
import signal
import sys
import tempfile
from pathlib import Path

STEPS_OF_A_FILE = 5
# checkpoint, log, weights, card
FILES_OF_A_TRAINING = 4


def arm() -> None:
    """Count the steps of this process and kill it at the chosen one."""
    words = " ".join(sys.orig_argv[1:])
    chance = random.Random(f"{os.environ['KILLER_SEED']} {words}")
    files = FILES_OF_A_TRAINING if " train " in words else 1
    fatal = int(os.environ.get("KILLER_STEP", chance.randint(1, files * STEPS_OF_A_FILE)))
    how = getattr(signal, chance.choice(os.environ["KILLER_SIGNALS"].split(",")))
    own, passed = os.getpid(), []

    def step(name: str) -> None:
        if os.getpid() != own:
            return
        passed.append(name)
        if len(passed) == fatal and first_time(words, f"{fatal}, {name}", how):
            os.kill(own, how)

    wrap(tempfile, "mkstemp", step, after="make")
    wrap(os, "fsync", step, before="flush")
    wrap(os, "replace", step, before="rename", after="renamed")


def first_time(words: str, step: str, how: signal.Signals) -> bool:
    """Note a kill; False when this job was killed before."""
    note = Path(os.environ["KILLER_NOTES"]) / f"{random.Random(words).getrandbits(64):016x}"
    try:
        with note.open("x") as handle:
            handle.write(f"{how.name} at step {step}: {words}\n")
    except FileExistsError:
        return False
    return True


def wrap(module, name, step, before=None, after=None):
    """Call ``step`` around a function of the standard library."""
    function = getattr(module, name)

    def wrapped(*arguments, **options):
        if before:
            step(before)
        result = function(*arguments, **options)
        if after:
            step(after)
        return result

    setattr(module, name, wrapped)


if "KILLER_SEED" in os.environ and sys.orig_argv[1:3] == ["-m", "expressway"]:
    arm()
