"""The text tower: sentences of a dataset as a table, their features, and the head that maps them to the shared space.

The weights of a frozen encoder do not belong to the tower's state: sentences are encoded once. A trained encoder
encodes the sentences of each batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from revalexo_clip.core.errors import DataError
from revalexo_clip.models.dual_encoder import projection_head, unit
from revalexo_clip.models.text.base import TextEncoder, TextNet
from revalexo_clip.models.text.kept_table import kept_table, table_name

_AT_ONCE = 64
"""Sentences that are encoded at once without gradients."""
MANY = 1000
"""Sentences whose features are worth a file: a model of 12 layers of 384 needs 10 s of processor time for them."""


class TextTower(nn.Module):
    """Maps sentences to unit vectors of the shared space."""

    table: Tensor
    """[V, F] features of the sentences if the encoder is frozen, else [V, S] their tokens; see `set_sentences`."""
    digest: Tensor
    """[32] uint8, `TextNet.digest`, which is compared when a state is loaded."""

    def __init__(self, encoder: TextEncoder, embed_dim: int, *, headless: bool = False) -> None:
        """Build the encoder, and a head to D = `embed_dim` unless it is `headless`.

        Raises what `TextEncoder.build` and `projection_head` raise.
        """
        super().__init__()
        self.name = type(encoder).__name__
        net = encoder.build()
        self.net: TextNet | None = None if encoder.is_frozen else net
        self._frozen: tuple[TextNet, ...] = ()  # a tuple: not a part of the module's state
        if encoder.is_frozen:
            self._frozen = (net.requires_grad_(False).eval(),)
        self.head = projection_head("text", net.feature_dim, embed_dim, headless=headless)
        self.register_buffer("digest", torch.frombuffer(bytearray.fromhex(net.digest()), dtype=torch.uint8).clone())
        self.register_buffer("table", torch.empty(0, 0), persistent=False)

    def set_sentences(self, sentences: Sequence[str], folder: Path | None = None) -> None:
        """Set the V sentences that `forward` refers to by their indices. A frozen encoder encodes them here.

        The features of `MANY` sentences or more are kept in the `folder`, if there is one, for the next time.
        """
        if self.net is not None:
            found = self.net.tokenize(sentences)
        elif folder is None or len(sentences) < MANY:
            found = self._features(sentences)
        else:
            path = folder / table_name(self._frozen[0], sentences)
            found = kept_table(path, lambda: self._features(sentences))
        self.table = found.to(self.digest.device)

    def forward(self, text_B: Tensor) -> Tensor:
        """Embed sentences, given by their indices: unit vectors [B, D], float32."""
        rows = self.table[text_B]
        return unit(self.head(rows if self.net is None else self.net(rows)))

    @torch.no_grad()
    def embed(self, sentences: Sequence[str]) -> Tensor:
        """Embed any sentences, [V] -> unit vectors [V, D], float32, without gradients."""
        return unit(self.head(self._features(sentences).to(self.digest.device)))

    @torch.no_grad()
    def _features(self, sentences: Sequence[str]) -> Tensor:
        net = self._frozen[0] if self.net is None else self.net
        device = next(net.parameters()).device
        parts = [sentences[start : start + _AT_ONCE] for start in range(0, len(sentences), _AT_ONCE)]
        found = [net(net.tokenize(part).to(device)).float() for part in parts]
        return torch.cat(found) if found else torch.empty(0, net.feature_dim)

    def load_trained(self, state: Mapping[str, Tensor], prefix: str) -> None:
        """Load the entries of a checkpoint's state that start with a prefix. Raises `DataError` if they do not fit."""
        own = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        try:
            self.load_state_dict(own)
        except RuntimeError as error:  # names or shapes differ
            raise DataError(f"the weights of the text encoder {self.name} do not fit the model\n{error}") from error

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        saved = state_dict.get(f"{prefix}digest")
        if isinstance(saved, Tensor) and not torch.equal(saved.cpu(), self.digest.cpu()):
            raise DataError(
                f"text: {self.name} is not the encoder of the training: its settings, weights or tokenizer have changed"
            )
        super()._load_from_state_dict(state_dict, prefix, *args)
