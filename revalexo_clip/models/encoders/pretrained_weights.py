"""Published or local weights for a backbone: all of them fit, or it is an error.

PyTorchVideo's model builders and the addresses of their published weights, with or without torchvision.

PyTorchVideo imports `torchvision.ops.RoIAlign` when its models are imported, for detection heads that are not used
here, and does not declare torchvision. Where torchvision is missing, or does not match the torch it sits beside, a
placeholder stands in for it during that one import and is gone afterwards.
"""

from __future__ import annotations

import http.client
import importlib
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType
from urllib.parse import urlparse

import torch
from torch import Tensor, nn

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.files import UNPICKLING_ERRORS

PUBLISHED = "kinetics400"
"""The name under which `weights` asks for what PyTorchVideo publishes."""

_SHOWN = 3


def load_weights(backbone: nn.Module, weights: str, *, published: str, without: Collection[str]) -> None:
    """Load `weights`, a local file or `kinetics400`, into a backbone.

    `published` is the address that `kinetics400` stands for, kept in torch.hub's cache once it was fetched. `without`
    names the entries of the file that are left out on purpose: its classifier. Every other entry must match.

    Raises `DataError`, naming the file, where it cannot be had, is not a checkpoint, or does not fit.
    """
    file = _published_file(published) if weights == PUBLISHED else _local_file(weights)
    state = {name: tensor for name, tensor in _read(file).items() if name not in without}
    own = backbone.state_dict()
    for name, tensor in own.items():
        # A count of batches that batch norm with a fixed momentum never reads; older checkpoints have none.
        if name.endswith(".num_batches_tracked"):
            state.setdefault(name, tensor)
    differences = _differences(own, state)
    if differences:
        shown = "\n".join(f"  {difference}" for difference in differences[:_SHOWN])
        more = f"\n  ... and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
        raise DataError(f"the weights in {file} do not fit the encoder:\n{shown}{more}")
    backbone.load_state_dict(state)


def _differences(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> list[str]:
    """One line each: shapes that differ first, since they tell most, then what is missing, then what is too much."""
    shapes = [
        f"{name} is {list(state[name].shape)} in the file, {list(tensor.shape)} in the encoder"
        for name, tensor in own.items()
        if name in state and state[name].shape != tensor.shape
    ]
    missing = [f"{name} is missing from the file" for name in own if name not in state]
    unexpected = [f"{name} is in the file, and the encoder has no such weight" for name in state if name not in own]
    return shapes + missing + unexpected


def _read(file: Path) -> dict[str, Tensor]:
    try:
        checkpoint: object = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise DataError(f"cannot read the weights {file}: {error.strerror or error}") from error
    except UNPICKLING_ERRORS as error:
        raise DataError(f"{file} is not a checkpoint of weights, or not a whole one") from error
    state = checkpoint.get("model_state", checkpoint) if isinstance(checkpoint, dict) else None
    if not isinstance(state, dict) or not state:
        raise DataError(f"{file} holds no weights: expected a state dict, or one under 'model_state'")
    for name, tensor in state.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise DataError(f"{file} holds more than weights: its entry {name!r} is a {type(tensor).__name__}")
    return dict(state)


def _local_file(weights: str) -> Path:
    file = Path(weights).expanduser()
    if not file.is_file():
        raise DataError(f"there is no weights file {file} (weights: {PUBLISHED!r}, a checkpoint file, or none)")
    return file


def _published_file(url: str) -> Path:
    """The file in torch.hub's cache, fetched if it is not there yet."""
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name
    if file.exists():
        return file
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(file))
    except (OSError, http.client.HTTPException) as error:
        raise DataError(
            f"cannot fetch the {PUBLISHED} weights {url}: {error}\n"
            f"Fetch that file on a machine that can, and save it as {file} or name it with --set video.weights=FILE; "
            "or start from new weights with --set video.weights=none"
        ) from error
    return file


_HUB = "pytorchvideo.models.hub"

# What importing a torchvision that was built for another torch raises: an unknown operator is a RuntimeError, a
# library that will not load an OSError, a name that has moved an AttributeError.
_UNUSABLE = (ImportError, AttributeError, OSError, RuntimeError)


def builder(family: str, name: str) -> Callable[..., nn.Module]:
    """What builds the model `name` (`x3d_xs`) with new weights, from the family (`x3d`) of PyTorchVideo's hub."""
    build: Callable[..., nn.Module] = getattr(_hub(family), name)
    return build


def checkpoint_url(family: str, name: str) -> str:
    """Where PyTorchVideo publishes the weights of a model."""
    url: str = _hub(family).checkpoint_paths[name]
    return url


def _hub(family: str) -> ModuleType:
    module = f"{_HUB}.{family}"
    if module not in sys.modules and not _torchvision_works():
        with _placeholder_torchvision():
            return importlib.import_module(module)
    return importlib.import_module(module)


def _torchvision_works() -> bool:
    before = _loaded_torchvision()
    try:
        return hasattr(importlib.import_module("torchvision.ops"), "RoIAlign")
    except _UNUSABLE:
        for name in _loaded_torchvision().keys() - before.keys():
            del sys.modules[name]
        return False


def _loaded_torchvision() -> dict[str, ModuleType]:
    return {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "torchvision"}


@contextmanager
def _placeholder_torchvision() -> Iterator[None]:
    before = _loaded_torchvision()
    package, ops = (module_from_spec(ModuleSpec(name, None)) for name in ("torchvision", "torchvision.ops"))
    vars(ops)["RoIAlign"] = _RoIAlign
    sys.modules |= {"torchvision": package, "torchvision.ops": ops}
    try:
        yield
    finally:
        for name in _loaded_torchvision():
            del sys.modules[name]
        sys.modules |= before


class _RoIAlign:
    """Stands where PyTorchVideo's detection heads look for torchvision's operator."""

    def __init__(self, *_: object, **__: object) -> None:
        raise ImportError("PyTorchVideo's detection heads need a working torchvision")
