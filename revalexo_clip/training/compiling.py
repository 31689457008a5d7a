"""torch.compile for the encoders."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable

from torch import nn

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.models.encoders.checkpointing import is_recomputed

_COMPILERS = ("g++", "clang++", "c++")


def compile_encoders(model: nn.Module, encoders: Iterable[nn.Module]) -> None:
    """Have the encoders of a model compiled when they are first called. Names of weights stay, and so do checkpoints.

    Heads and loss stay as they are: there is nothing to gain, and processes talk to each other there.
    Raises `ConfigError` where there is no compiler for what torch writes, or where an encoder uses gradient
    checkpointing, which torch cannot compile together with batch norm's statistics.
    """
    if any(is_recomputed(module) for module in model.modules()):
        raise ConfigError(
            "trainer.compile: torch.compile and gradient checkpointing do not go together; "
            "--set trainer.compile=false, or gradient_checkpointing=false for the encoder"
        )
    if not any(shutil.which(name) for name in (os.environ.get("CXX", ""), *_COMPILERS) if name):
        raise ConfigError(
            "trainer.compile: torch.compile needs a C++ compiler, and there is none here: install g++, name one in the "
            "environment variable CXX, or --set trainer.compile=false"
        )
    for encoder in encoders:
        encoder.compile()
