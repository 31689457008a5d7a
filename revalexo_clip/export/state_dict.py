"""Read state dicts of others, and what an import of one returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.files import UNPICKLING_ERRORS
from revalexo_clip.export import EncoderDescription


@dataclass(frozen=True)
class Import:
    """Result of an import."""

    files: tuple[Path, ...]
    """Files that were written."""
    description: EncoderDescription
    """Content of `config.json`."""
    parameters: int
    """Number of parameters."""
    ignored: tuple[str, ...]
    """Names of tensors in the file that do not belong to the encoder."""
    remarks: tuple[str, ...] = ()
    """What a user of the encoder should know, a sentence each."""


def state_dicts_in(file: Path) -> list[dict[str, Tensor]]:
    """Read the tensors of a state dict, and of all state dicts inside a checkpoint.

    Raises `ConfigError` if there is no such file, and `DataError` if it is no state dict. Code in it is never run.
    """
    try:
        content: object = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ConfigError(f"{file}: no such file") from error
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror or error}") from error
    except UNPICKLING_ERRORS as error:
        raise DataError(
            f"{file} is not a state dict: it is corrupt, or it contains code, which is never run"
        ) from error
    dicts = [
        item for item in (content, *(content.values() if isinstance(content, dict) else ())) if isinstance(item, dict)
    ]
    return [{str(name): tensor for name, tensor in state.items() if isinstance(tensor, Tensor)} for state in dicts]


def below_prefix(dicts: Sequence[Mapping[str, Tensor]], name: str) -> dict[str, Tensor] | None:
    """Return the first state dict that has a tensor of this name, behind any prefix, which is stripped.

    Return None if none has.
    """
    for tensors in dicts:
        first = next((key for key in tensors if key == name or key.endswith(f".{name}")), None)
        if first is not None:
            prefix = first.removesuffix(name)
            return {key.removeprefix(prefix): tensor for key, tensor in tensors.items()}
    return None
