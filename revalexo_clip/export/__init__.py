"""The exported encoder: a folder that explains itself, and the module that it loads as.

`description` is its `config.json`, `encoder` the module, `recording` what it takes, `loading` how it is read.
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
