"""`encoder.onnx`: an encoder for runtimes without torch, compared with torch before it is kept.

Made with the exporter that torch recommends. The one before it, from TorchScript, gives the same numbers sooner (0.4 s
instead of 12 s for a small DeepConvLSTM), but is deprecated and cannot follow the fast forms of X3D's convolutions.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.files import atomically
from revalexo_clip.core.version import __version__
from revalexo_clip.export import EncoderDescription, OnnxCheck, PretrainedEncoder

TOLERANCE = 1e-4
"""Largest difference from torch that is accepted, as a share of the largest output where that is above 1."""

_PACKAGES = ("onnx", "onnxruntime", "onnxscript")


class CheckWindows(NamedTuple):
    """What a file is compared with torch on."""

    window: Tensor
    """[B, L, C] or [B, T, H, W, 3]."""
    source: str
    """Where they come from."""


def require_onnx() -> None:
    """Raise `ConfigError` where the packages that it takes are not installed."""
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise ConfigError(f"--format onnx needs {', '.join(missing)}: pip install 'revalexo-clip[onnx]'")


def write_onnx(path: Path, encoder: PretrainedEncoder, windows: CheckWindows) -> OnnxCheck:
    """Write an encoder, standardisation and projection included, for batches of any size.

    The file has one input, `imu` [B, L, C] or `video` [B, T, H, W, 3], and the outputs `features` and `embedding`,
    [B, D] each; its metadata says what they are. Raises `DataError`, and leaves no file, where onnxruntime computes
    anything else from it than torch does.
    """
    module = _Outputs(encoder).eval()
    with torch.no_grad():  # before the export: what is computed once and kept is then no tracer's stand-in
        expected = tuple(output.numpy() for output in module(windows.window))
    description = encoder.description
    names = ("features", "embedding")[: len(expected)]
    with _quietly():
        try:
            program = torch.onnx.export(
                module,
                (torch.cat([windows.window[:1]] * 2),),  # a batch of one would be taken for the size of all batches
                dynamo=True,
                verbose=False,
                input_names=[description.modality],
                output_names=list(names),
                dynamic_shapes=({0: torch.export.Dim("batch")},),
            )
        except torch.onnx.errors.OnnxExporterError as error:
            raise ConfigError(
                f"--format onnx cannot express this {type(description.encoder).__name__}: "
                f"{str(error).strip().splitlines()[0]}"
            ) from error
    assert program is not None
    shape = program.model.graph.inputs[0].shape
    if shape is None or isinstance(shape[0], int):
        raise ConfigError(
            f"--format onnx cannot express this {type(description.encoder).__name__} for batches of any size: it takes "
            "the batch's size for a constant (len(x) does, where x.shape[0] does not)"
        )
    program.model.metadata_props.update(_metadata(description))
    with atomically(path) as temporary:
        program.save(temporary)
        difference = _difference(temporary, description.modality, windows.window.numpy(), expected)
        scale = max(1.0, *(float(np.abs(output).max()) for output in expected))
        if not difference <= TOLERANCE * scale:
            raise DataError(
                f"{path} was not written: onnxruntime's outputs differ from torch's by {difference:.2g} on "
                f"{windows.source}, more than {TOLERANCE * scale:.2g}"
            )
    return OnnxCheck(windows=windows.source, difference=difference)


class _Outputs(nn.Module):
    def __init__(self, encoder: PretrainedEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, window: Tensor) -> tuple[Tensor, ...]:
        features_BD = self.encoder.features(window)
        return (features_BD, self.encoder.project(features_BD)) if self.encoder.head else (features_BD,)


def _difference(
    path: Path, name: str, window: npt.NDArray[np.generic], expected: tuple[npt.NDArray[np.float32], ...]
) -> float:
    """Largest difference of an output, of all windows together and of the first alone."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    differences = []
    for size in (len(window), 1):
        outputs = session.run(None, {name: window[:size]})
        differences += [np.abs(output - wanted[:size]).max() for output, wanted in zip(outputs, expected, strict=True)]
    return float(np.max(differences))  # NaN where one of them is


def _metadata(description: EncoderDescription) -> dict[str, str]:
    spec = description.imu or description.video
    assert spec is not None
    fields = {name: value for name, value in vars(spec).items() if value is not None}
    return {
        "modality": description.modality,
        "encoder": type(description.encoder).__name__,
        "revalexo_clip": __version__,
        "subjects": json.dumps(description.origin.subjects),
        **{name: json.dumps(value) for name, value in fields.items()},
    }


@contextmanager
def _quietly() -> Iterator[None]:
    """Without what torch's exporter says about its own insides and about packages that are not needed."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
