"""A real Slurm of one node on this machine: munged, slurmctld, slurmd, and one pretend GPU.

    python tests/support/slurm.py start DIR      then snakemake --profile profiles/slurm ...
    python tests/support/slurm.py stop DIR

No systemd, no cgroups, no accounting (so: --slurm-status-command squeue). The node claims more
CPUs and memory than there are, so that a cluster's requests can be scheduled as they stand.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

# Jobs find the configuration here only: Snakemake's plugin strips SLURM_CONF from them.
LINK = Path("/etc/slurm/slurm.conf")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol")
DAEMONS = ("slurmd", "slurmctld", "munged")
PATIENCE = 30.0
CONFIGURATION = """\
ClusterName=local
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={root}/munge.socket
SlurmctldPort={controller}
SlurmdPort={daemon}
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd.pid
SlurmctldLogFile={root}/log/slurmctld.log
SlurmdLogFile={root}/log/slurmd.log
SlurmdParameters=config_overrides
MpiDefault=none
SwitchType=switch/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
ReturnToService=2
MinJobAge=3600
InactiveLimit=0
KillWait=5
SlurmctldTimeout=60
SlurmdTimeout=60
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=32 RealMemory=256000 Gres=gpu:1 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


class SlurmError(RuntimeError):
    """Slurm did not start; the message ends with the daemons' logs."""


def why_not() -> str | None:
    """Say what keeps Slurm from being started here, or None."""
    missing = [program for program in PROGRAMS if not _which(program)]
    if missing:
        return f"{', '.join(missing)} not installed (tests/install-system.sh)"
    if LINK.exists() and not LINK.is_symlink():
        return f"{LINK} is a real file: this machine belongs to a cluster"
    if not LINK.parent.is_dir() or not os.access(LINK.parent, os.W_OK):
        return f"{LINK.parent} cannot be written (tests/install-system.sh)"
    return None


def _which(program: str) -> str | None:
    # Debian puts daemons where users' PATH does not look
    return shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def start(root: Path) -> None:
    """Start the three daemons with all their files in ``root``; return when the node is idle."""
    for name in ("munge", "state", "spool", "log"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "munge").chmod(0o700)
    key = root / "munge/munge.key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o400)
    host = socket.gethostname().partition(".")[0]
    configuration = CONFIGURATION.format(
        host=host, root=root, user=_user(), controller=_free_port(), daemon=_free_port()
    )
    (root / "slurm.conf").write_text(configuration)
    (root / "gres.conf").write_text(f"NodeName={host} Name=gpu File=/dev/null\n")
    LINK.unlink(missing_ok=True)
    LINK.symlink_to(root / "slurm.conf")
    _daemon(
        *("munged", "--force", "--num-threads=2", f"--key-file={key}"),
        *(f"--socket={root}/munge.socket", f"--pid-file={root}/munged.pid"),
        *(f"--log-file={root}/log/munged.log", f"--seed-file={root}/munge/seed"),
    )
    _daemon("slurmctld", "-f", root / "slurm.conf")
    start_node(root)


def start_node(root: Path, inside: Sequence[str] = ()) -> int:
    """Start the node's daemon, by the words ``inside`` before its command; return its process."""
    _daemon(*inside, str(_which("slurmd")), "-f", root / "slurm.conf")
    _wait_until_idle(root)
    return int((root / "slurmd.pid").read_text())


def stop_node(root: Path) -> None:
    """End the node's daemon."""
    _end(root / "slurmd.pid")


def _user() -> str:
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _daemon(program: str, *arguments: str | Path) -> None:
    command = [str(_which(program)), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SlurmError(f"{program}: {done.stderr}")


def _wait_until_idle(root: Path) -> None:
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends:
        done = subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True)
        if done.stdout.strip() == "idle":
            return
        time.sleep(0.2)
    logs = "\n".join(path.read_text()[-2000:] for path in sorted((root / "log").glob("*.log")))
    raise SlurmError(f"the node is not idle after {PATIENCE} s: {done.stdout}\n{logs}")


def stop(root: Path) -> None:
    """Cancel what runs, end the daemons, take the link away."""
    subprocess.run(["scancel", "--user", _user()], capture_output=True, check=False)
    for name in DAEMONS:
        _end(root / f"{name}.pid")
    if LINK.is_symlink() and LINK.readlink() == root / "slurm.conf":
        LINK.unlink()


def _end(pid_file: Path) -> None:
    try:
        process = int(pid_file.read_text())
        os.kill(process, signal.SIGTERM)
    except (OSError, ValueError):
        return
    ends = time.monotonic() + PATIENCE
    while Path(f"/proc/{process}").exists() and time.monotonic() < ends:
        time.sleep(0.1)


def show_jobs() -> dict[str, dict[str, str]]:
    """Return job id -> fields of ``scontrol show job``, finished jobs included."""
    done = subprocess.run(
        ["scontrol", "--oneliner", "show", "job"], capture_output=True, text=True, check=True
    )
    jobs = {}
    for line in done.stdout.splitlines():
        fields = dict(word.split("=", 1) for word in line.split() if "=" in word)
        if "JobId" in fields:
            jobs[fields["JobId"]] = fields
    return jobs


if __name__ == "__main__":
    {"start": start, "stop": stop}[sys.argv[1]](Path(sys.argv[2]).resolve())
