"""A multimodal language model asked for the class: a ceiling row for zero-shot tables.

A captioner is asked a question that lists the classes (``config/prompts/captions.yaml``:
``choose_seven``, ``choose_eight``, ``choose_eleven``); its raw answers are a captions store, their
vectors by the backbone's text tower a text_embeddings store. The answer goes to the class whose
name lies closest: a class's own name exactly, another wording (``happy``) nearly. Refused and
empty answers are lost clips, as everywhere. docs/methods/mllm.md.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from expressway.core.errors import ConfigError
from expressway.data.clips import Batch, ClipStores, Rows, Sample
from expressway.methods.base import Method
from expressway.methods.mllm.recipe import Description, Recipe


class MLLM(Description, Method[Recipe]):
    """The class that a multimodal language model names."""

    def check_stores(self, stores: ClipStores) -> None:
        """Refuse vectors of anything but raw answers: refined ones name no emotion."""
        source = stores.footer("text_embeddings").get("config", {}).get("source")
        if source != "captions.raw":
            raise ConfigError(
                f"method mllm reads raw answers, the text_embeddings store holds {source}; make a "
                "variant with source: captions.raw of captions with a prompt such as choose_seven"
            )

    def sample(self, rows: Rows, random: np.random.Generator, training: bool) -> Sample:
        """Return ``answer`` (D,), the vector of the first answer."""
        vectors = rows["text_embeddings"]["embeddings"]
        return {"answer": torch.from_numpy(np.asarray(vectors[0], dtype=np.float32))}

    def encode_clips(self, batch: Batch) -> Tensor:
        """Return (batch, D) unit vectors of the answers."""
        return functional.normalize(batch["answer"], dim=-1)

    def scores(self, batch: Batch) -> Tensor:
        """Return (batch, classes): cosines of answers and class names."""
        return self.encode_clips(batch) @ self.encode_texts().T

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Refuse: there is nothing to train."""
        raise ConfigError("method mllm is not trained")
