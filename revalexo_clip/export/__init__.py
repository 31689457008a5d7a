"""Exported encoders: a self-describing folder, and the module that it is loaded as.

`description` is `config.json`, `encoder` the module, `sliding_windows` its input, `loading` reads the folder and
`folder` writes it.
"""

from revalexo_clip.export.description import (
    CARD,
    DESCRIPTION,
    ONNX,
    WEIGHTS,
    EncoderDescription,
    OnnxCheck,
    Origin,
)
from revalexo_clip.export.encoder import (
    PretrainedEncoder,
    PretrainedImuEncoder,
    PretrainedVideoEncoder,
    build_encoder,
)
from revalexo_clip.export.loading import load_encoder
from revalexo_clip.export.sliding_windows import RecordingVectors

__all__ = [
    "CARD",
    "DESCRIPTION",
    "ONNX",
    "WEIGHTS",
    "EncoderDescription",
    "OnnxCheck",
    "Origin",
    "PretrainedEncoder",
    "PretrainedImuEncoder",
    "PretrainedVideoEncoder",
    "RecordingVectors",
    "build_encoder",
    "load_encoder",
]
