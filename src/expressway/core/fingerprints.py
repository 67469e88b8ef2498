"""Fingerprints of files and weights; package versions."""

import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from expressway.core.errors import SystemicError
from expressway.core.files import atomic_path

OWN_PACKAGES = ("expressway", "numpy", "pyarrow")
FRAME_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
)


def digest(value: Any) -> str:
    """Return 16 hexadecimal digits that identify a JSON-like value (key order ignored)."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_digest(path: Path) -> str:
    """Return the sha256 of a file's bytes as 64 hexadecimal digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


class HashLedger:
    """Remembers the sha256 of files by size and modification time, so that each is read once.

    The ledger is a JSON file that only saves time: it may be deleted whenever one likes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[str, list[Any]] = {}
        self._changed = False
        if path.is_file():
            try:
                self._known = json.loads(path.read_text("utf-8"))
            except (ValueError, OSError):
                self._known = {}

    def sha256(self, path: Path, name: str | None = None) -> str | None:
        """Return ``content_digest`` of a clip's file or folder; None when there is neither."""
        return self._lookup(path, name or str(path), content_digest)

    def weights(self, path: Path) -> str | None:
        """Return ``weights_digest`` of a weights file or folder, or None when it is missing."""
        return self._lookup(path, str(path), weights_digest)

    def _lookup(self, path: Path, key: str, compute: Callable[[Path], str]) -> str | None:
        try:
            stamp = _stamp(path, deep=compute is weights_digest)
        except OSError:
            return None
        known = self._known.get(key)
        if known and known[0] == stamp:
            return str(known[1])
        value = compute(path)
        self._known[key] = [stamp, value]
        self._changed = True
        return value

    def save(self) -> None:
        """Write the ledger if anything new was hashed (a read-only disk is no error)."""
        if not self._changed:
            return
        try:
            with atomic_path(self.path) as temporary:
                temporary.write_text(json.dumps(self._known, ensure_ascii=False), "utf-8")
            self._changed = False
        except (SystemicError, OSError):
            return


def _stamp(path: Path, deep: bool) -> list[int]:
    """Return size and modification time; of every file in a folder when ``deep``."""
    files = sorted(path.iterdir()) if deep and path.is_dir() else [path]
    return [number for file in files for number in _size_and_time(file)]


def _size_and_time(path: Path) -> tuple[int, int]:
    status = path.stat()
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        # a pipe or device in a data set would never end
        raise OSError(f"{path} is neither file nor folder")
    return status.st_size, status.st_mtime_ns


def content_digest(path: Path) -> str:
    """Return the sha256 of a file, or of the names and sizes of a folder's images.

    Folders of frames hold millions of small files; reading them all would take longer than
    decoding them, so a folder counts as changed when a name or a size in it changes. What is no
    image (``.DS_Store``, ``Thumbs.db``) is not read and does not count.
    """
    if path.is_dir():
        with os.scandir(path) as entries:
            images = [e for e in entries if e.is_file() and is_frame(e.name)]
            files = sorted((e.name, e.stat().st_size) for e in images)
        return hashlib.sha256(json.dumps(files).encode()).hexdigest()
    return file_digest(path)


def is_frame(name: str) -> bool:
    """Return whether a file in a folder of frames is one of them, by its name."""
    return Path(name).suffix.lower() in FRAME_SUFFIXES and not name.startswith(".")


def weights_digest(path: Path) -> str:
    """Return the sha256 of a weights file, or of all files directly in a model's folder."""
    if not path.is_dir():
        return file_digest(path)
    files = sorted(entry for entry in path.iterdir() if entry.is_file())
    return digest({file.name: file_digest(file) for file in files})


def package_versions(names: Iterable[str]) -> dict[str, str]:
    """Return the installed version of each distribution, or ``not installed``."""
    return {name: _version(name) for name in names}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def fingerprint(
    code: str, config: Mapping[str, Any], weights: Mapping[str, str], upstream: Mapping[str, str]
) -> str:
    """Return the identity of a stage variant or model: what it is made of, and of nothing else."""
    return digest({"code": code, "config": config, "weights": weights, "upstream": upstream})
