"""Exported encoders and classifiers: a self-describing folder, and the module that it is loaded as.

`description` and `classifier_description` are `config.json`, `encoder` and `classifier` the modules, `sliding_windows`
their input; `loading` reads a folder, `writing` writes it, for `folder` and `classifier_folder`.
"""

from revalexo_clip.export.classifier import ExportedClassifier
from revalexo_clip.export.classifier_description import ClassifierDescription
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
from revalexo_clip.export.loading import load_classifier, load_encoder
from revalexo_clip.export.sliding_windows import RecordingVectors

__all__ = [
    "CARD",
    "DESCRIPTION",
    "ONNX",
    "WEIGHTS",
    "ClassifierDescription",
    "EncoderDescription",
    "ExportedClassifier",
    "OnnxCheck",
    "Origin",
    "PretrainedEncoder",
    "PretrainedImuEncoder",
    "PretrainedVideoEncoder",
    "RecordingVectors",
    "build_encoder",
    "load_classifier",
    "load_encoder",
]
