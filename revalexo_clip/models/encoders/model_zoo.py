"""PyTorchVideo's model builders and the addresses of their published weights, with or without torchvision.

PyTorchVideo imports `torchvision.ops.RoIAlign` when its models are imported, for detection heads that are not used
here, and does not declare torchvision. Where torchvision is missing, or does not match the torch it sits beside, a
placeholder stands in for it during that one import and is gone afterwards.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from types import ModuleType

from torch import nn

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
