"""Load pretrained transformers models, from a local folder or by a hub id."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from expressway.core.errors import SystemicError


@contextmanager
def source(kind: str, model: str) -> Iterator[dict[str, Any]]:
    """Give ``from_pretrained`` its arguments; a folder is never looked up on the network.

    Raises:
        SystemicError: what is loaded in the block is missing, cut, of another kind, or needs a
            package that is not here; ``kind`` and ``model`` say which.
    """
    from safetensors import SafetensorError

    try:
        yield {
            "pretrained_model_name_or_path": model,
            "local_files_only": Path(model).is_dir(),
            "trust_remote_code": False,
        }
    except (OSError, ValueError, ImportError, SafetensorError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SystemicError(
            f"{kind} {model}: cannot be loaded ({reason}). Give a folder that save_pretrained "
            "wrote, or a hub id that is in the local cache (HF_HOME) or reachable"
        ) from error
