"""Weights for the backbones of video encoders, and PyTorchVideo's builders of these backbones.

`load_weights` loads published or local weights and raises an error unless all of them fit.

`builder` and `checkpoint_url` work without torchvision. PyTorchVideo imports `torchvision.ops.RoIAlign` together with
its models, for detection heads that are not used here, but does not declare torchvision as a dependency. If torchvision
is missing or does not match the installed torch, a placeholder replaces it during this import and is removed
afterwards.
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
"""Value of `weights` for the weights that PyTorchVideo publishes."""

_SHOWN = 3


def load_weights(backbone: nn.Module, weights: str, *, published: str, without: Collection[str]) -> None:
    """Load `weights`, a local file or `kinetics400`, into a backbone.

    `published` is the URL of `kinetics400`; the file is downloaded once into torch.hub's cache. `without` names the
    entries of the file that are ignored: its classifier. All other entries must match.

    Raises `DataError`, naming the file, if it is not available, is not a checkpoint, or does not fit.
    """
    file = _published_file(published) if weights == PUBLISHED else _local_file(weights)
    state = {name: tensor for name, tensor in _read(file).items() if name not in without}
    own = backbone.state_dict()
    for name, tensor in own.items():
        # Batch norm with a fixed momentum never reads this count of batches, and older checkpoints do not have it.
        if name.endswith(".num_batches_tracked"):
            state.setdefault(name, tensor)
    differences = _differences(own, state)
    if differences:
        shown = "\n".join(f"  {difference}" for difference in differences[:_SHOWN])
        more = f"\n  ... and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
        raise DataError(f"the weights in {file} do not fit the encoder:\n{shown}{more}")
    backbone.load_state_dict(state)


def _differences(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> list[str]:
    """List the differences, one line each: first shapes, which tell most, then missing, then unexpected weights."""
    shapes = [
        f"{name} is {list(state[name].shape)} in the file, {list(tensor.shape)} in the encoder"
        for name, tensor in own.items()
        if name in state and state[name].shape != tensor.shape
    ]
    missing = [f"{name} is missing from the file" for name in own if name not in state]
    unexpected = [f"{name} is in the file, but the encoder has no such weight" for name in state if name not in own]
    return shapes + missing + unexpected


def _read(file: Path) -> dict[str, Tensor]:
    try:
        checkpoint: object = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise DataError(f"cannot read the weights {file}: {error.strerror or error}") from error
    except UNPICKLING_ERRORS as error:
        raise DataError(f"{file} is not a checkpoint, or it is truncated; download or copy it again") from error
    state = checkpoint.get("model_state", checkpoint) if isinstance(checkpoint, dict) else None
    if not isinstance(state, dict) or not state:
        raise DataError(f"{file} contains no weights: expected a state dict, or one under 'model_state'")
    for name, tensor in state.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise DataError(f"{file} is not a state dict of tensors: its entry {name!r} is a {type(tensor).__name__}")
    return dict(state)


def _local_file(weights: str) -> Path:
    file = Path(weights).expanduser()
    if not file.is_file():
        raise DataError(f"no such weights file: {file} (weights: {PUBLISHED!r}, a checkpoint file, or none)")
    return file


def _published_file(url: str) -> Path:
    """Return the file in torch.hub's cache; download it if it does not exist yet."""
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name
    if file.exists():
        return file
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(file))
    except (OSError, http.client.HTTPException) as error:
        raise DataError(
            f"cannot download the {PUBLISHED} weights {url}: {error}\n"
            f"Download the file on another machine and save it as {file}, or pass its path with --set "
            "video.weights=FILE. To start from new weights, pass --set video.weights=none"
        ) from error
    return file


_HUB = "pytorchvideo.models.hub"

# What importing a torchvision built for another torch raises: RuntimeError for an unknown operator, OSError for a
# library that cannot be loaded, AttributeError for a name that has moved.
_UNUSABLE = (ImportError, AttributeError, OSError, RuntimeError)


def builder(family: str, name: str) -> Callable[..., nn.Module]:
    """Return the builder of the model `name` (`x3d_xs`) of a family (`x3d`) of PyTorchVideo's hub, with new weights."""
    build: Callable[..., nn.Module] = getattr(_hub(family), name)
    return build


def checkpoint_url(family: str, name: str) -> str:
    """Return the URL at which PyTorchVideo publishes the weights of a model."""
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
    """Placeholder of torchvision's operator, which PyTorchVideo's detection heads import."""

    def __init__(self, *_: object, **__: object) -> None:
        raise ImportError("PyTorchVideo's detection heads require a working torchvision")
