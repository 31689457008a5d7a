"""Writing an encoder's folder: weights, description, card and, on request, the same for other runtimes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import save
from torch import Tensor, nn

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.files import atomically
from revalexo_clip.export import CARD, DESCRIPTION, ONNX, WEIGHTS, EncoderDescription, PretrainedEncoder
from revalexo_clip.export.model_card import model_card
from revalexo_clip.export.onnx import CheckWindows, write_onnx


class Written(NamedTuple):
    """What was written."""

    files: tuple[Path, ...]
    description: EncoderDescription


def checked_folder(folder: Path) -> Path:
    """A folder to write to, there or not. Raises `ConfigError` where it is a file."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: --out names a folder, and this is a file")
    return folder


def write_folder(folder: Path, encoder: PretrainedEncoder, onnx: CheckWindows | None = None) -> Written:
    """Write what `load_encoder` reads and, with windows to check it on, `encoder.onnx`."""
    description = encoder.description
    # Without its description a folder is no encoder: gone first and written last, it never goes with other weights.
    (folder / DESCRIPTION).unlink(missing_ok=True)
    (folder / ONNX).unlink(missing_ok=True)
    if onnx is not None:
        description = description.model_copy(update={"onnx": write_onnx(folder / ONNX, encoder, onnx)})
    with atomically(folder / WEIGHTS) as temporary:
        temporary.write_bytes(save(own_tensors(encoder), metadata={"format": "pt"}))
    with atomically(folder / CARD) as temporary:
        temporary.write_text(model_card(description), encoding="utf-8")
    with atomically(folder / DESCRIPTION) as temporary:
        temporary.write_text(json.dumps(description.model_dump(mode="json"), indent=2) + "\n", encoding="utf-8")
    names = (WEIGHTS, DESCRIPTION, CARD, *(() if onnx is None else (ONNX,)))
    return Written(tuple(folder / name for name in names), description)


def own_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Each tensor with memory of its own, which safetensors insists on where an encoder uses one twice."""
    return {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in module.state_dict().items()}
