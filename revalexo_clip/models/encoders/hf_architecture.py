"""The architecture of a model of the transformers library, and the colours it expects, as its files say them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from revalexo_clip.core.component import Config, JsonObject
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.types import VideoSpec
from revalexo_clip.models.hugging_face import config_of, loading, new_model, read_json_file

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Rgb = tuple[float, float, float]


class HFArchitecture(Config):
    """What a model of the transformers library is, without its weights."""

    kind: str
    """Class of the library."""
    config: JsonObject
    """Configuration of the class."""
    mean: Rgb
    """Mean of red, green and blue on the scale 0 to 1, which the model expects to be subtracted."""
    std: Rgb
    """Standard deviation of red, green and blue, which the model expects colours to be divided by."""

    def build(self) -> PreTrainedModel:
        """Build the model with new weights."""
        return new_model(self.kind, self.config)


@lru_cache(maxsize=32)
def meta_model(architecture_json: str) -> PreTrainedModel:
    """Build a model without memory for its weights, to see what it computes; from an `HFArchitecture` as JSON."""
    with torch.device("meta"):
        return HFArchitecture.model_validate_json(architecture_json).build()


def read_files(
    field: str, model: str, kind: str, processors: Mapping[str, str | None], *, local_files_only: bool
) -> HFArchitecture:
    """Read the architecture of a model of the class `kind` from its files.

    The first file of `processors` that exists says how colours are normalised, in the entry that is the file's value,
    or as a whole if that is None. Raises `DataError`, naming `field`, if there is none, or if it does not say it.
    """
    with loading(field, model, "config.json and preprocessor_config.json"):
        config = config_of(kind, model, local_files_only=local_files_only)
        found = None
        for file, entry in processors.items():
            found = read_json_file(model, file, local_files_only=local_files_only)
            found = found if entry is None or found is None else _object(found.get(entry))
            if found is not None:
                break
    if found is None:
        raise DataError(
            f"{field}: {model} has no preprocessor_config.json, which says how frames are normalised; copy the file "
            "that belongs to the model"
        )
    try:
        mean, std = colours(found)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{field}: {file} of {model} needs image_mean and image_std with three numbers each, and std above 0"
        ) from error
    return HFArchitecture(kind=kind, config=config, mean=mean, std=std)


def _object(value: object) -> JsonObject | None:
    return value if isinstance(value, dict) else None


def colours(processor: Mapping[str, object]) -> tuple[Rgb, Rgb]:
    """Return mean and standard deviation on the scale 0 to 1, as a processor of the library normalises frames.

    It multiplies colours from 0 to 255 by `rescale_factor`, subtracts 1 if there is an `offset`, then subtracts the
    mean and divides by the deviation; any of the steps can be off. Raises `KeyError`, `TypeError` or `ValueError` if
    the numbers are missing or wrong.
    """
    rescale = _number(processor.get("rescale_factor", 1 / 255)) if processor.get("do_rescale", True) else 1.0
    offset = 1.0 if processor.get("offset") else 0.0
    normalized = processor.get("do_normalize", True)
    means = _three(processor["image_mean"]) if normalized else (0.0,) * 3
    stds = _three(processor["image_std"]) if normalized else (1.0,) * 3
    if not rescale * min(stds) > 0:
        raise ValueError("the scale of colours must be above 0")
    unit = 255 * rescale
    return _three([(mean + offset) / unit for mean in means]), _three([std / unit for std in stds])


def _number(value: object) -> float:
    if not isinstance(value, (int, float)):
        raise TypeError(f"{value!r} is not a number")
    return float(value)


def _three(values: object) -> Rgb:
    if not isinstance(values, (list, tuple)):
        raise TypeError(f"{values!r} are not three numbers")
    red, green, blue = (_number(value) for value in values)
    return red, green, blue


class Recolour(nn.Module):
    """From colours that are normalised for one mean and deviation to those for another, [..., 3, H, W]."""

    scale: Tensor
    shift: Tensor

    def __init__(self, spec: VideoSpec, architecture: HFArchitecture) -> None:
        super().__init__()
        mean, std = (torch.tensor(each, dtype=torch.float64) for each in (spec.mean, spec.std))
        own_mean, own_std = (torch.tensor(each, dtype=torch.float64) for each in (architecture.mean, architecture.std))
        for name, value in (("scale", std / own_std), ("shift", (mean - own_mean) / own_std)):
            self.register_buffer(name, value.float().view(3, 1, 1), persistent=False)

    def forward(self, frames_3HW: Tensor) -> Tensor:
        """Convert frames."""
        return frames_3HW * self.scale + self.shift


def side(size: object) -> int | None:
    """Return the length of a side [px], from a setting that is a number or a pair of them; None if it is neither."""
    first = size[-1] if isinstance(size, (list, tuple)) and size else size
    return first if isinstance(first, int) and not isinstance(first, bool) else None


def refused(architecture: HFArchitecture, encoder: str, what: str, error: BaseException) -> ConfigError:
    """Return the error of a model that cannot take such frames."""
    first = str(error).strip().partition("\n")[0]
    return ConfigError(f"video: {encoder}: {architecture.kind} does not take {what}: {first}")
