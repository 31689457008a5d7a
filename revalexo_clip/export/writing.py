"""Write exported folders: weights, description, model card and ONNX, all or nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import torch
from pydantic import JsonValue
from safetensors.torch import save
from torch import Tensor, nn

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import DataError
from revalexo_clip.core.files import atomically, sha256_of, write_json
from revalexo_clip.core.types import Split
from revalexo_clip.core.version import __version__
from revalexo_clip.export.description import CARD, DESCRIPTION, ONNX_FILES, WEIGHTS, FolderDescription, Origin
from revalexo_clip.export.exported import Exported
from revalexo_clip.export.loading import weights_metadata
from revalexo_clip.export.onnx import CheckWindows, write_onnx
from revalexo_clip.export.own_files import move, refuse_files_of_others, staged
from revalexo_clip.runs.checkpoint import CheckpointMetadata, LoadedCheckpoint
from revalexo_clip.runs.folder import folder_of

_PATHS = ("checkpoint", "sha256")
"""Results that `config.json` does not repeat: paths have no meaning elsewhere."""

D = TypeVar("D", bound=FolderDescription)


class Written(NamedTuple, Generic[D]):
    """Files of an exported folder, and the description in them."""

    files: tuple[Path, ...]
    description: D


def write_exported(
    folder: Path, exported: Exported, description: D, card: Callable[[D], str], onnx: CheckWindows | None = None
) -> Written[D]:
    """Write a folder, with an ONNX file if there are windows to check it on.

    `description` is that of `exported`, `card` writes the model card. If that fails, an export that is already in the
    folder stays as it is. Raises `ConfigError` if the folder has files of somebody else under these names, or an export
    of another kind.
    """
    onnx_file = ONNX_FILES[description.noun]
    names = (WEIGHTS, CARD, *(() if onnx is None else (onnx_file,)), DESCRIPTION)
    refuse_files_of_others(folder, (WEIGHTS, CARD, onnx_file, DESCRIPTION), description.noun)
    with staged(folder) as stage:
        if onnx is not None:
            description = description.model_copy(update={"onnx": write_onnx(stage / onnx_file, exported, onnx)})
        with atomically(stage / WEIGHTS) as temporary:
            temporary.write_bytes(save(own_tensors(exported), metadata=weights_metadata(description)))
        with atomically(stage / CARD) as temporary:
            temporary.write_text(card(description), encoding="utf-8")
        write_json(stage / DESCRIPTION, description.as_json())
        # The description is deleted first and moved last, so that it never describes other weights.
        move(stage, folder, names, without=(DESCRIPTION, onnx_file))
    written = (WEIGHTS, DESCRIPTION, CARD, *(() if onnx is None else (onnx_file,)))
    return Written(tuple(folder / name for name in written), description)


def own_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Copy each tensor: safetensors refuses tensors that share memory."""
    return {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in module.state_dict().items()}


def origin_of(
    checkpoint: LoadedCheckpoint[CheckpointMetadata],
    subjects: dict[Split, tuple[str, ...]] | None,
    metrics: JsonObject | None,
) -> Origin:
    """Return the origin of what is exported from a checkpoint; `subjects` are those of its training."""
    described = checkpoint.description
    return Origin(
        experiment=described.experiment.name,
        checkpoint=checkpoint.path.name,
        data=type(described.experiment.data).__name__,
        epoch=checkpoint.epoch,
        step=checkpoint.step,
        subjects=subjects,
        versions={
            "trained_with": described.version,
            "exported_with": __version__,
            "torch": metadata.version("torch"),
        },
        metrics=metrics,
    )


def metrics_of(checkpoint: Path) -> JsonObject | None:
    """Return the results of `rxclip evaluate` on the checkpoint's own test subjects; None if there are none.

    They are identified by the digest of the checkpoint: `best.ckpt` is replaced during training.
    """
    path = folder_of(checkpoint) / "evaluation" / "metrics.json"
    if not path.is_file():
        return None
    try:
        metrics: JsonValue = json.loads(path.read_bytes())
    except ValueError as error:
        raise DataError(f"{path} is corrupt ({error}); run `rxclip evaluate` again, or delete it") from error
    if not isinstance(metrics, dict) or metrics.get("sha256") != sha256_of(checkpoint):
        return None
    return {name: value for name, value in metrics.items() if name not in _PATHS}
