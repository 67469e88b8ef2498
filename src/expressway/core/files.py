"""Files that appear under their name only when they are complete."""

import errno
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from expressway.core.errors import SystemicError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of ``path`` that replaces it on success.

    Raises:
        SystemicError: the disk refused the write; the message names the path.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for stale in path.parent.glob(f".{path.name}.*.tmp"):
        if not _is_running(stale):
            stale.unlink(missing_ok=True)
    handle, name = tempfile.mkstemp(
        prefix=f".{path.name}.{os.getpid()}.", suffix=".tmp", dir=path.parent
    )
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _publish(temporary, path)
    except Exception as error:
        # safetensors has an error of its own for a full disk
        if isinstance(error, OSError) or os.strerror(errno.ENOSPC) in str(error):
            raise SystemicError(f"{path}: cannot be written: {error}") from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _is_running(temporary: Path) -> bool:
    """Return whether the process that made a temporary file is still alive on this machine."""
    try:
        process = int(temporary.name.rsplit(".", 3)[1])
        os.kill(process, 0)
    except (ValueError, IndexError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return process != os.getpid()


def _publish(temporary: Path, path: Path) -> None:
    temporary.chmod(0o666 & ~_umask())
    with temporary.open("rb") as handle:
        os.fsync(handle.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", "utf-8")
