"""A folder on a network disk with two clients, each with a cache of its own: sshfs, without ssh.

What one client writes, the other sees late, as on NFS. The clients are two views of the same path:
one for the processes of this machine, one for those of a mount namespace, as on another machine.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SERVER = Path("/usr/lib/openssh/sftp-server")
PROGRAMS = ("sshfs", "unshare", "nsenter", "umount")
# Longer than the jobs of the tests take, so that the driver looks for their results too early.
LATE = 60
TIMEOUTS = ("dcache_timeout", "entry_timeout", "attr_timeout", "negative_timeout")


def why_not() -> str | None:
    """Say what keeps a network disk from being mounted here, or None."""
    missing = [program for program in PROGRAMS if not shutil.which(program)]
    if missing or not SERVER.exists():
        missing += [] if SERVER.exists() else [str(SERVER)]
        return f"{', '.join(missing)} not installed (tests/install-system.sh)"
    if os.getuid() or not os.access("/dev/fuse", os.W_OK):
        return "mounting takes root and /dev/fuse"
    return None


@dataclass(frozen=True)
class Disk:
    """``place``: where this machine sees the disk; ``elsewhere``: a command's words before it, that
    run it where the other client is mounted there."""

    place: Path
    elsewhere: tuple[str, ...]


@contextmanager
def mounted(folder: Path) -> Iterator[Disk]:
    """Mount the client of this machine; the other one is mounted by what runs ``elsewhere``."""
    disk, place, wire = folder / "disk", folder / "place", folder / "wire.sh"
    for path in (disk, place):
        path.mkdir()
    wire.write_text(f"#!/bin/sh\nexec {SERVER} 2>/dev/null\n")
    wire.chmod(0o755)
    late = ",".join(f"{name}={LATE}" for name in TIMEOUTS)
    mount = ("sshfs", "-o", f"ssh_command={wire},{late}", f"disk:{disk}", str(place))
    subprocess.run(mount, check=True)
    inside = f'{" ".join(mount)} && exec "$@"'
    try:
        yield Disk(place, ("unshare", "--mount", "sh", "-c", inside, "sh"))
    finally:
        unmount(place)


def unmount(place: Path, process: int | None = None) -> None:
    """Unmount a client: this machine's, or that of another process' namespace."""
    where = () if process is None else ("nsenter", "--mount", "--target", str(process))
    subprocess.run([*where, "umount", "--lazy", str(place)], check=False, capture_output=True)
