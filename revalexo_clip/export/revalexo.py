"""`rxclip import-encoder`: a state dict under RevalExo's names, as an encoder folder of ours.

Encoders that others have published can then be loaded, exported and compared as our own are. What such a file does not
say comes from elsewhere: sizes from the shapes of its tensors; channels, rate and window from an experiment's dataset.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import Tensor

from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.core.component import describe
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.files import UNPICKLING_ERRORS
from revalexo_clip.core.types import ImuSpec, Split
from revalexo_clip.core.version import __version__
from revalexo_clip.export import EncoderDescription, Origin, build_encoder
from revalexo_clip.export.folder import checked_folder, write_folder
from revalexo_clip.models.encoders.deep_conv_lstm import DeepConvLSTM

_SIZES = {"conv1.weight": 4, "lstm.weight_hh_l0": 2, "feature_projector.weight": 2}
"""Tensors that tell the sizes of all others, and how many axes they have."""
_OWN = ("conv", "lstm.", "feature_projector.")
"""What the names of a DeepConvLSTM's tensors begin with; a file may hold others, such as classifiers."""


@dataclass(frozen=True)
class Import:
    """What was written, and what was not."""

    files: tuple[Path, ...]
    description: EncoderDescription
    parameters: int
    left_aside: tuple[str, ...]
    """Names of tensors in the file that are no part of the encoder."""


def import_encoder(
    file: Path, experiment: PretrainExperiment, *, out: Path | None = None, subjects: Sequence[str] | None = None
) -> Import:
    """Write the encoder in `file` to `out`, or to a folder of the file's name beside it.

    The experiment's dataset says which channels the encoder takes, in which order and at which rate; it must be at
    hand, since channels are named in its recordings. `subjects` are those that the encoder was trained on, where that
    is known. Raises `ConfigError` or `DataError`.
    """
    folder = checked_folder(out or file.with_suffix(""))
    tensors = _read(file)
    spec = _input_of(experiment)
    seen: dict[Split, tuple[str, ...]] | None = None if subjects is None else {"train": tuple(subjects)}
    try:
        description = EncoderDescription(
            modality="imu",
            encoder=_architecture(file, tensors),
            embed_dim=len(tensors["feature_projector.weight"]),
            imu=spec,
            projection=False,
            origin=Origin(
                experiment=experiment.name,
                checkpoint=file.name,
                subjects=seen,
                versions={"imported_with": __version__, "torch": metadata.version("torch")},
            ),
        )
    except ValidationError as error:
        raise DataError(f"{file}: {describe(error)}") from error
    encoder = build_encoder(description)
    own = encoder.encoder.state_dict()
    if differences := _differences(own, tensors, spec):
        raise DataError(f"{file} does not fit the channels of {experiment.name}:\n  " + "\n  ".join(differences))
    encoder.encoder.load_state_dict({name: tensors[name] for name in own})
    written = write_folder(folder, encoder.eval())
    parameters = sum(parameter.numel() for parameter in encoder.parameters())
    return Import(*written, parameters, tuple(name for name in tensors if name not in own))


def _read(file: Path) -> dict[str, Tensor]:
    """The tensors of a state dict, or of one within a checkpoint, less a prefix that the encoder's names have."""
    try:
        content: object = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ConfigError(f"{file}: no such file") from error
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror or error}") from error
    except UNPICKLING_ERRORS as error:
        raise DataError(f"{file} is not a state dict, or not a whole one, or holds code, which is never run") from error
    dicts = [
        item for item in (content, *(content.values() if isinstance(content, dict) else ())) if isinstance(item, dict)
    ]
    for state in dicts:
        tensors = {str(name): tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}
        first = next((name for name in tensors if name.split(".")[-2:] == ["conv1", "weight"]), None)
        if first is not None:
            prefix = first.removesuffix("conv1.weight")
            return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    raise DataError(f"{file} holds no encoder under RevalExo's names: there is no conv1.weight in it")


def _input_of(experiment: PretrainExperiment) -> ImuSpec:
    """Channels, units, rate and window of the training recordings; as they are, since the file knows no mean."""
    try:
        return experiment.data.build("train", experiment.seed).imu_spec
    except DataError as error:
        raise DataError(
            f"the channels of an encoder are named in the recordings of {experiment.name}: {error}"
        ) from error


def _architecture(file: Path, tensors: Mapping[str, Tensor]) -> DeepConvLSTM:
    for name, axes in _SIZES.items():
        if name not in tensors:
            raise DataError(f"{file} lacks {name}")
        if tensors[name].ndim != axes:
            raise DataError(f"{file}: {name} is {list(tensors[name].shape)}, where {axes} axes are expected")
    maps, _, kernel, _ = tensors["conv1.weight"].shape
    return DeepConvLSTM(kernel=kernel, maps=maps, hidden=tensors["lstm.weight_hh_l0"].shape[1])


def _differences(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor], spec: ImuSpec) -> list[str]:
    """One line each: what is missing, what has another shape, what a DeepConvLSTM has no place for."""
    missing = [f"{name} is missing" for name in own if name not in tensors]
    shapes = [
        f"{name} is {list(tensors[name].shape)}, expected {list(tensor.shape)}{_channels(name, tensors, spec)}"
        for name, tensor in own.items()
        if name in tensors and tensors[name].shape != tensor.shape
    ]
    extra = [f"{name} has no place in it" for name in tensors if name.startswith(_OWN) and name not in own]
    return missing + shapes + extra


def _channels(name: str, tensors: Mapping[str, Tensor], spec: ImuSpec) -> str:
    if name != "lstm.weight_ih_l0":
        return ""
    maps = len(tensors["conv1.weight"])
    channels = tensors[name].shape[-1] / maps
    return f": {channels:g} channels of {maps} maps, where the recordings give {len(spec.channels)}"
