"""What all models of the transformers library share: importing it, its errors, reading configurations and weights.

The library is an optional extra (https://github.com/huggingface/transformers).
"""

from __future__ import annotations

import json
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
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

_PATIENCE = 4.0
"""Time to wait for an answer from the network [s]."""


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

    `files` says which files a folder needs. A path that does not exist is refused before anything is asked.
    """
    if is_path(model) and not Path(model).expanduser().exists():
        raise DataError(f"{field}: there is no folder {model}; name one with {files}, or a model of the library")
    try:
        yield
    except FILE_ERRORS as error:
        if not Path(model).expanduser().exists() and _no_network():
            raise DataError(
                f"{field}: {model} is no folder and not complete in the library's cache, and it cannot be downloaded "
                f"without network; name a folder with {files}"
            ) from error
        first = str(error).strip().partition("\n")[0]
        raise DataError(
            f"{field}: {model} cannot be loaded by the transformers library: {first}\nName a folder with {files}, or "
            "a model that is in the library's cache or can be downloaded"
        ) from error


def is_path(model: str) -> bool:
    """Return whether a text can only be the path of a folder, and not the name of a model, `NAME` or `OWNER/NAME`.

    `OWNER/NAME` is a path if there is a folder `OWNER`.
    """
    owner, slash, name = model.partition("/")
    return (
        model.startswith((".", "~"))
        or "\\" in model
        or "/" in name
        or (bool(slash) and (not owner or not name or Path(owner).is_dir()))
    )


def place_of(model: str, *, local_files_only: bool) -> tuple[str, bool]:
    """Return a model's name or folder, and whether the library may read only local files, as its functions take them.

    A `~` is replaced by the home folder. If the network does not answer, the library would wait for it several times.
    """
    place = str(Path(model).expanduser()) if model.startswith("~") else model
    return place, local_files_only or Path(place).exists() or not hub_answers()


@cache
def hub_answers() -> bool:
    """Return whether the place that the library downloads models from answers within seconds; asked once."""
    from huggingface_hub import constants  # noqa: PLC0415 (an optional extra)

    if constants.HF_HUB_OFFLINE:
        return False
    found: list[bool] = []
    asking = threading.Thread(target=lambda: found.append(_answers(constants.ENDPOINT)), daemon=True)
    asking.start()
    asking.join(_PATIENCE)  # looking up a name has no limit of its own
    return found == [True]


def _no_network() -> bool:
    """Return whether the network was asked and did not answer. This does not ask it."""
    return hub_answers.cache_info().currsize > 0 and not hub_answers()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=_PATIENCE):  # noqa: S310
            return True
    except urllib.error.HTTPError:
        return True
    except urllib.error.URLError as error:  # with certificates of its own, the library may succeed
        return isinstance(error.reason, ssl.SSLError)
    except OSError:
        return False


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

    place, local = place_of(model, local_files_only=local_files_only)
    config: PretrainedConfig = transformers.AutoConfig.from_pretrained(place, local_files_only=local)
    return config


def config_of(kind: str, model: str, *, local_files_only: bool) -> JsonObject:
    """Read the configuration of a model's class `kind`, complete and as JSON: of CLIP's vision model, its half."""
    place, local = place_of(model, local_files_only=local_files_only)
    config = model_class(kind).config_class.from_pretrained(place, local_files_only=local)
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
    place, local = place_of(name, local_files_only=local_files_only)
    loaded, info = type(model).from_pretrained(
        place, config=model.config, dtype=torch.float32, output_loading_info=True, local_files_only=local
    )
    state, own = loaded.state_dict(), model.state_dict()
    missing = {key for key in info["missing_keys"] if key in own and not key.endswith(".num_batches_tracked")}
    model.load_state_dict({key: own[key] if key in missing else state[key] for key in own})
    return missing


def read_json_file(model: str, file: str, *, local_files_only: bool) -> JsonObject | None:
    """Read a JSON file of a model; None if it has no such file."""
    import transformers  # noqa: PLC0415

    place, local = place_of(model, local_files_only=local_files_only)
    path = transformers.utils.cached_file(
        place,
        file,
        local_files_only=local,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    if path is None:
        return None
    return cast("JsonObject", json.loads(Path(path).read_text(encoding="utf-8")))
