"""Write an encoder or a classifier as ONNX, for runtimes without torch, and compare its outputs with torch.

This uses the exporter that torch recommends. The older one, based on TorchScript, gives the same numbers in less time
(0.4 s instead of 12 s for a small DeepConvLSTM), but it is deprecated and cannot export the fast forms of X3D's
convolutions.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.files import atomically
from revalexo_clip.export.description import OnnxCheck
from revalexo_clip.export.exported import Exported

if TYPE_CHECKING:
    from onnx_ir import Graph

TOLERANCE = 1e-4
"""Largest accepted difference from torch, relative to the largest output if that is above 1."""

_PACKAGES = ("onnx", "onnxruntime", "onnxscript")


class CheckWindows(NamedTuple):
    """Windows on which an ONNX file is compared with torch."""

    inputs: Mapping[str, Tensor]
    """The inputs by name, see `FolderDescription.inputs`."""
    source: str
    """Description of their origin."""


def require_onnx(option: str = "--format onnx") -> None:
    """Raise `ConfigError` if the packages for ONNX, which an option needs, are not installed."""
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise ConfigError(f"{option} requires {', '.join(missing)}: pip install 'revalexo-clip[onnx]'")


def write_onnx(path: Path, exported: Exported, windows: CheckWindows) -> OnnxCheck:
    """Write an encoder or a classifier with its standardisation and heads, for batches of any size.

    The file has the inputs `imu` [B, L, C], or `video` [B, T, H, W, 3], `motion` [B, M, Y, X, 3] or both, and the
    outputs of `Exported.outputs`. Its metadata describes them. Raises `ConfigError` if ONNX cannot express the module;
    `DataError`, and leaves no file, if the outputs of onnxruntime differ from those of torch.
    """
    description = exported.description
    kind = " with ".join(type(one).__name__ for one in description.components)
    inputs = [windows.inputs[name] for name in description.inputs]
    module = _Outputs(exported).eval()
    with torch.no_grad():  # before the export, so that cached tensors are real ones and not the tracer's
        outputs = exported.outputs(*exported.inputs_from(**dict(zip(description.inputs, inputs, strict=True))))
    names, expected = tuple(outputs), tuple(output.numpy() for output in outputs.values())
    batch = torch.export.Dim("batch")
    with _quietly():
        try:
            program = torch.onnx.export(
                module,
                tuple(torch.cat([each[:1]] * 2) for each in inputs),  # a batch size of one would become a constant
                dynamo=True,
                verbose=False,
                input_names=list(description.inputs),
                output_names=list(names),
                dynamic_shapes=(tuple({0: batch} for _ in inputs),),
            )
        except torch.onnx.errors.OnnxExporterError as error:
            raise ConfigError(f"ONNX cannot express this {kind}: {_cause(error)}") from error
    assert program is not None
    shape = program.model.graph.inputs[0].shape
    if shape is None or isinstance(shape[0], int):
        raise ConfigError(
            f"ONNX cannot express this {kind} for batches of any size: its "
            "code treats the batch size as a constant (for example by len(x) instead of x.shape[0])"
        )
    _keep_names_unique(program.model.graph, names)
    program.model.metadata_props.update(description.onnx_metadata())
    with atomically(path) as temporary:
        program.save(temporary)
        given = {name: each.numpy() for name, each in zip(description.inputs, inputs, strict=True)}
        difference = _difference(temporary, given, expected)
        scale = max(1.0, *(float(np.abs(output).max()) for output in expected))
        if not difference <= TOLERANCE * scale:
            raise DataError(
                f"{path.name} was not written: onnxruntime's outputs differ from torch's by {difference:.2g} on "
                f"{windows.source}, more than {TOLERANCE * scale:.2g}"
            )
    return OnnxCheck(windows=windows.source, difference=difference)


class _Outputs(nn.Module):
    def __init__(self, exported: Exported) -> None:
        super().__init__()
        self.exported = exported

    def forward(self, *windows: Tensor) -> tuple[Tensor, ...]:
        inputs = self.exported.inputs_from(**dict(zip(self.exported.description.inputs, windows, strict=True)))
        return tuple(self.exported.outputs(*inputs).values())


def _keep_names_unique(graph: Graph, names: Collection[str]) -> None:
    """Rename values inside a graph that have the name of an output: the exporter names them after their operator."""
    outputs = {id(value) for value in graph.outputs}
    inside = [value for node in graph.all_nodes() for value in node.outputs]
    for value in (*inside, *graph.initializers.values()):
        if value.name in names and id(value) not in outputs:
            value.name = f"{value.name}_inside"


def _cause(error: BaseException) -> str:
    """Return the first line of the error that came first: the exporter wraps it in descriptions of its own steps."""
    while (before := error.__cause__) is not None:
        error = before
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _difference(
    path: Path, inputs: Mapping[str, npt.NDArray[np.generic]], expected: tuple[npt.NDArray[np.float32], ...]
) -> float:
    """Compute the largest difference of the outputs, for all windows in one batch and for the first alone."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    differences = []
    for size in (len(expected[0]), 1):
        outputs = session.run(None, {name: window[:size] for name, window in inputs.items()})
        differences += [np.abs(output - wanted[:size]).max() for output, wanted in zip(outputs, expected, strict=True)]
    return float(np.max(differences))  # NaN if one of them is NaN


@contextmanager
def _quietly() -> Iterator[None]:
    """Suppress the exporter's messages about its internals and about optional packages."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
