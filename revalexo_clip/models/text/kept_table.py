"""Features of sentences that are computed once and kept in a file, whose checksum is in it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from revalexo_clip.core.files import WriteError, atomically
from revalexo_clip.core.version import __version__
from revalexo_clip.models.text.base import TextNet

_TABLE, _CHECKSUM = "features", "sha256"


def table_name(net: TextNet, sentences: Sequence[str]) -> str:
    """Return the file name of the features of sentences: another one for other weights, sentences or versions.

    The printed layers are a part of it: the same weights give other features with another activation function.
    """
    found = hashlib.sha256(f"{__version__} {net} {net.digest()}".encode())
    for sentence in sentences:
        found.update(hashlib.sha256(sentence.encode()).digest())
    return f"{found.hexdigest()[:32]}.safetensors"


def kept_table(path: Path, compute: Callable[[], Tensor]) -> Tensor:
    """Return the features [V, F] in a file; if it is missing or damaged, compute and write them.

    If the file cannot be written, they are computed each time.
    """
    with suppress(OSError, SafetensorError), safe_open(path, "pt") as file:
        found: Tensor = file.get_tensor(_TABLE)
        if (file.metadata() or {}).get(_CHECKSUM) == _checksum(found):
            return found
    table_VF = compute().contiguous()
    with suppress(WriteError), atomically(path) as temporary:
        temporary.write_bytes(save({_TABLE: table_VF}, {_CHECKSUM: _checksum(table_VF)}))
    return table_VF


def _checksum(table_VF: Tensor) -> str:
    header = f"{table_VF.dtype} {tuple(table_VF.shape)}".encode()
    return hashlib.sha256(header + table_VF.contiguous().view(torch.uint8).numpy().tobytes()).hexdigest()
