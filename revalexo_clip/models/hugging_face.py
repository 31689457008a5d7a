"""What all models of the transformers library share: importing it, its errors, reading configurations and weights.

The library is an optional extra (https://github.com/huggingface/transformers).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from safetensors import SafetensorError

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import ConfigError, DataError

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

RANDOM_IN_TRAINING = ("pos_embed_shift", "pos_embed_jitter", "pos_embed_rescale")
"""Settings of DINOv3 that move the positions of patches at random in training."""


FILE_ERRORS = (OSError, ValueError, ImportError, RuntimeError, SafetensorError)
"""All that the library raises for missing or other files."""


def require_transformers(field: str, component: str) -> None:
    """Import the library, without its progress bars and messages.

    Raises `ConfigError`, which names the `field` of the experiment and its `component`, if it is not installed.
    """
    try:
        import transformers  # noqa: PLC0415 (an optional extra)
    except ImportError as error:
        raise ConfigError(
            f"{field}: {component} needs the transformers library: pip install 'revalexo_clip[text]'"
        ) from error
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


@contextmanager
def loading(field: str, model: str, files: str) -> Iterator[None]:
    """Turn what the library raises for missing or other files into a `DataError`, which names `field` and `model`.

    `files` says which files a folder needs.
    """
    try:
        yield
    except FILE_ERRORS as error:
        first = str(error).strip().partition("\n")[0]
        raise DataError(
            f"{field}: {model} cannot be loaded by the transformers library: {first}\nName a folder with {files}, or "
            "a model that is in the library's cache or can be downloaded"
        ) from error


def without_dropout(config: PretrainedConfig) -> dict[str, float | None]:
    """Return settings that turn dropout off: its masks would depend on how a batch is divided."""
    settings = config.to_dict()
    off: dict[str, float | None] = {
        name: 0.0 for name, value in settings.items() if "drop" in name and isinstance(value, float)
    }
    return off | {name: None for name in RANDOM_IN_TRAINING if name in settings}


def read_config(model: str, *, local_files_only: bool) -> PretrainedConfig:
    """Read the configuration of a model, by its name or in a local folder. Raises what `loading` turns into errors."""
    import transformers  # noqa: PLC0415

    config: PretrainedConfig = transformers.AutoConfig.from_pretrained(model, local_files_only=local_files_only)
    return config


def config_of(kind: str, model: str, *, local_files_only: bool) -> JsonObject:
    """Read the configuration of a model's class `kind`, complete and as JSON: of CLIP's vision model, its half."""
    config = model_class(kind).config_class.from_pretrained(model, local_files_only=local_files_only)
    found: JsonObject = json.loads(config.to_json_string(use_diff=False))
    return found


def model_class(kind: str) -> type[PreTrainedModel]:
    """Return a class of the library by its name. Raises `ConfigError` if it has no such class."""
    import transformers  # noqa: PLC0415

    found = getattr(transformers, kind, None)
    if not isinstance(found, type) or not issubclass(found, transformers.PreTrainedModel):
        raise ConfigError(
            f"the installed transformers {transformers.__version__} has no model {kind}; install another version"
        )
    return found


def class_for(config: PretrainedConfig) -> str:
    """Return the name of the class that the library takes for the features of a model."""
    import transformers  # noqa: PLC0415

    try:
        found = transformers.MODEL_MAPPING[type(config)]
    except KeyError as error:
        raise ConfigError(f"transformers has no features for a model of type {config.model_type}") from error
    kind = found[0] if isinstance(found, (list, tuple)) else found
    return str(kind.__name__)


def new_model(kind: str, config: Mapping[str, object]) -> PreTrainedModel:
    """Build a model with new weights, without dropout and in eval mode."""
    cls = model_class(kind)
    settings = cls.config_class.from_dict(dict(config))
    for name, value in without_dropout(settings).items():
        setattr(settings, name, value)
    return cls(settings).eval()


def read_weights(model: PreTrainedModel, name: str, *, local_files_only: bool) -> Collection[str]:
    """Load the weights of a model, by its name or in a folder, into one from `new_model`.

    Returns the names of those that the files lack; they do not change. Raises what `loading` turns into errors.
    """
    loaded, info = type(model).from_pretrained(
        name, config=model.config, dtype=torch.float32, output_loading_info=True, local_files_only=local_files_only
    )
    state, own = loaded.state_dict(), model.state_dict()
    missing = {key for key in info["missing_keys"] if key in own and not key.endswith(".num_batches_tracked")}
    model.load_state_dict({key: own[key] if key in missing else state[key] for key in own})
    return missing


def read_json_file(model: str, file: str, *, local_files_only: bool) -> JsonObject | None:
    """Read a JSON file of a model; None if it has no such file."""
    import transformers  # noqa: PLC0415

    path = transformers.utils.cached_file(
        model,
        file,
        local_files_only=local_files_only,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    if path is None:
        return None
    return cast("JsonObject", json.loads(Path(path).read_text(encoding="utf-8")))
