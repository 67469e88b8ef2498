"""Checkpoints of the methods' authors, into model folders."""

from importlib import import_module
from pathlib import Path

from expressway.core.errors import ConfigError

# Method -> the file that reads its authors' checkpoints.
READERS = {"emoclip": "emoclip", "downstream": "emoclip", "expclip": "expclip", "hesp": "hesp"}


def import_weights(name: str, file: Path, out: Path, backbone: str | None = None) -> Path:
    """Write a published checkpoint as a model folder that evaluations load; return the folder.

    Args:
        name: of the method.
        backbone: name of the frozen CLIP; None: the one inside the checkpoint.

    Raises:
        ConfigError: a method without published weights, or the file is no such checkpoint.
    """
    if name not in READERS:
        raise ConfigError(
            f"method {name} has no published weights to import; those that have: "
            f"{', '.join(READERS)}"
        )
    written: Path = import_module(f"{__name__}.{READERS[name]}").import_release(file, out, backbone)
    return written
