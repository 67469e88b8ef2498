"""Check machine and folder, and name the remedies.

``validate`` checks what is to be computed; this checks where: the machine and the working folder.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from expressway.core.errors import ExpresswayError
from expressway.core.fingerprints import package_versions

LYING_CACHES = ("hardlink", "symlink")
LEAST_FREE = 5 << 30
SNAKEMAKE = Path(".snakemake")


@dataclass(frozen=True)
class Finding:
    """What one check found; ``remedy`` is the command to run, none when all is well."""

    check: str
    found: str
    remedy: str | None = None

    def __str__(self) -> str:
        if self.remedy is None:
            return f"ok       {self.check}: {self.found}"
        return f"PROBLEM  {self.check}: {self.found}\n         run: {self.remedy}"


def examine() -> Iterator[Finding]:
    """Yield the finding of every check on this machine and in the current folder."""
    yield from (check() for check in CHECKS)


def _ffmpeg() -> Finding:
    from expressway.core.subprocesses import check_ffmpeg

    try:
        return Finding("ffmpeg", check_ffmpeg())
    except ExpresswayError as error:
        return Finding("ffmpeg", str(error), "pip install -c constraints.txt imageio-ffmpeg")


def _torch() -> Finding:
    """torchvision admits one torch only, and its wheels are built for CUDA."""
    versions = package_versions(("torch", "torchvision"))
    found = ", ".join(f"{name} {version}" for name, version in versions.items())
    wanted = _required_torch()
    if wanted and versions["torch"].partition("+")[0] != wanted:
        message = f"{found}, but this torchvision belongs to torch {wanted}"
        return Finding("torch", message, "pip install -c constraints.txt -e .")
    done = _python("import torchvision")
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        message = f"{found}: torchvision does not import: {reason[0]}"
        return Finding("torch", message, "pip install -c constraints.txt tools/torchvision-cpu")
    return Finding("torch", found)


def _required_torch() -> str | None:
    try:
        lines = metadata.requires("torchvision") or []
    except metadata.PackageNotFoundError:
        return None
    pinned = (re.match(r"torch\s*\(?==\s*([0-9.]+)", line) for line in lines)
    return next((match[1] for match in pinned if match), None)


def _python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def _disk() -> Finding:
    free = shutil.disk_usage(Path()).free
    found = f"{free / (1 << 30):.1f} GiB free"
    if free >= LEAST_FREE:
        return Finding("disk", found)
    return Finding("disk", f"{found}; at least {LEAST_FREE >> 30} wanted", "dvc gc --workspace")


def _cache() -> Finding:
    """Linked caches give outputs new times, so that Snakemake takes stale ones for current."""
    if not Path(".dvc").is_dir():
        return Finding("DVC cache", "no DVC here")
    command = [sys.executable, "-m", "dvc", "config", "cache.type"]
    kinds = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    lying = [kind for kind in LYING_CACHES if kind in kinds]
    if not lying:
        return Finding("DVC cache", f"cache.type {kinds or 'default (reflink, copy)'}")
    return Finding(
        "DVC cache",
        f"cache.type {kinds}: with {' and '.join(lying)}, outputs that persist get new times, and "
        "stale results look current",
        "dvc config cache.type reflink,copy && dvc checkout --relink",
    )


def _lock() -> Finding:
    if not any((SNAKEMAKE / "locks").glob("*")):
        return Finding("lock", "none")
    process = _driver()
    if process:
        return Finding("lock", f"a run is going in this folder (process {process})")
    return Finding(
        "lock",
        "this folder is locked, but no snakemake runs in it on this machine; if none does on "
        "another machine either, the run was killed",
        "snakemake --unlock",
    )


def _driver() -> int | None:
    """Return the process id of a snakemake whose working folder is this one."""
    here = Path.cwd()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes()
            if b"snakemake" in words and (entry / "cwd").resolve() == here:
                return int(entry.name)
        except OSError:
            continue
    return None


def _incomplete() -> Finding:
    """Marked by Snakemake when a job starts; left over when the job was killed."""
    marks = [path for path in (SNAKEMAKE / "incomplete").rglob("*") if path.is_file()]
    parts = [path for top in ("results", "state") for path in Path(top).rglob(".*.tmp")]
    parts = [path for path in parts if path.is_file()]
    if _driver():
        return Finding("killed jobs", "a run is going; look when it has ended")
    if not marks and not parts:
        return Finding("killed jobs", "none")
    return Finding(
        "killed jobs",
        f"{len(marks)} output(s) of killed jobs and {len(parts)} temporary file(s); finished "
        "shards are untouched, half ones are computed again",
        "snakemake --cores all",
    )


CHECKS: tuple[Callable[[], Finding], ...] = (_ffmpeg, _torch, _disk, _cache, _lock, _incomplete)


def command() -> None:
    """Check machine and folder: ffmpeg, torch, disk, DVC's cache, locks; name the remedies."""
    found = list(examine())
    for finding in found:
        print(finding)
    if any(finding.remedy for finding in found):
        raise ExpresswayError("run what stands behind each problem, then run doctor again")
