"""Convert a RevalExo state dict to an encoder folder, as `rxclip import-encoder` does.

Published encoders can then be loaded like exported ones. The sizes are taken from the shapes of the tensors; channels,
rate and window from the dataset of an experiment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import metadata
from itertools import count as count_from
from pathlib import Path

from pydantic import ValidationError
from torch import Tensor

from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.core.component import describe
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.files import checked_folder
from revalexo_clip.core.types import ImuSpec, Split
from revalexo_clip.core.version import __version__
from revalexo_clip.data.subjects import alike
from revalexo_clip.export import EncoderDescription, Origin, build_encoder
from revalexo_clip.export.folder import write_folder
from revalexo_clip.export.state_dict import Import, below_prefix, state_dicts_in
from revalexo_clip.models.encoders.deep_conv_lstm import CONVOLUTIONS, DeepConvLSTM

_CONVOLUTIONS = tuple(f"conv{number}.weight" for number in range(1, CONVOLUTIONS + 1))
_PROJECTOR = "feature_projector."
FIRST = "conv1.weight"
"""Tensor by which a state dict of RevalExo is known."""
NO_PROJECTOR = "it has no feature_projector; its features are the last output of its LSTM"

_OWN = ("conv", "lstm.", _PROJECTOR)
"""Prefixes of a DeepConvLSTM's tensors. A file may hold others, such as those of classifiers."""


def import_encoder(
    file: str | Path,
    experiment: PretrainExperiment,
    *,
    out: str | Path | None = None,
    subjects: Sequence[str] | None = None,
) -> Import:
    """Write the encoder in a RevalExo state dict to a folder.

    - `file`: state dict, or a checkpoint that contains it.
    - `experiment`: experiment whose dataset has the channels, the rate and the window of the encoder. Its recordings
      must be available, because they name the channels.
    - `out`: output folder; the default is the name of `file` without its suffix.
    - `subjects`: subjects of the dataset that the encoder was trained on, if they are known; '08' is Subject08.

    Raises `ConfigError` if there is no such file or no such subject; `DataError` if it has no such encoder, or one for
    other channels.
    """
    file, out = Path(file), None if out is None else Path(out)
    folder = checked_folder(out or file.with_suffix(""))
    tensors = _read(file)
    spec = _input_of(experiment)
    seen: dict[Split, tuple[str, ...]] | None = None
    if subjects is not None:
        seen = {"train": _full_names(tuple(subjects), experiment)}
    try:
        architecture = _architecture(file, tensors)
        description = EncoderDescription(
            modality="imu",
            encoder=architecture,
            embed_dim=len(tensors[f"{_PROJECTOR}weight"]) if architecture.projector else architecture.hidden,
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
        raise DataError(
            f"{file} is not a DeepConvLSTM for the channels of {experiment.name}:\n  " + "\n  ".join(differences)
        )
    encoder.encoder.load_state_dict({name: tensors[name] for name in own})
    written = write_folder(folder, encoder.eval())
    parameters = sum(parameter.numel() for parameter in encoder.parameters())
    ignored = tuple(name for name in tensors if name not in own)
    remarks = () if architecture.projector else (NO_PROJECTOR,)
    return Import(*written, parameters, ignored, remarks)


def _read(file: Path) -> dict[str, Tensor]:
    """Read the tensors of a state dict, or of one inside a checkpoint, and strip the prefix of the encoder's names."""
    tensors = below_prefix(state_dicts_in(file), FIRST)
    if tensors is None:
        raise DataError(f"{file} has no encoder with RevalExo's names: {FIRST} is missing")
    return tensors


def _input_of(experiment: PretrainExperiment) -> ImuSpec:
    """Return channels, units, rate and window of the training recordings, without standardisation."""
    try:
        return experiment.data.build("train", experiment.seed).imu_spec
    except DataError as error:
        raise DataError(
            f"the recordings of {experiment.name} are needed for the names of the channels: {error}"
        ) from error


def _full_names(subjects: tuple[str, ...], experiment: PretrainExperiment) -> tuple[str, ...]:
    """Return the dataset's names of subjects. Raises `ConfigError` if one is not in the dataset."""
    if not subjects:
        raise ConfigError("--subjects names no subject; omit it if the training subjects are unknown")
    try:
        known = experiment.data.evaluating(subjects).labelled("test", experiment.seed).clip_subjects
    except ValidationError as error:  # one subject twice
        raise ConfigError(f"--subjects: {describe(error)}") from error
    except DataError as error:
        raise ConfigError(f"--subjects: {error}") from error
    return tuple(next((name for name in known if alike(name, one)), one) for one in subjects)


def _architecture(file: Path, tensors: Mapping[str, Tensor]) -> DeepConvLSTM:
    """Return the encoder with the sizes of the tensors. RevalExo's has no projector if D equals the LSTM's size."""
    projector = any(name.startswith(_PROJECTOR) for name in tensors)
    axes = (
        dict.fromkeys(_CONVOLUTIONS, 4) | {"lstm.weight_hh_l0": 2} | ({f"{_PROJECTOR}weight": 2} if projector else {})
    )
    for name, count in axes.items():
        if name not in tensors:
            raise DataError(f"{file}: {name} is missing")
        if tensors[name].ndim != count:
            raise DataError(f"{file}: {name} has shape {list(tensors[name].shape)}, expected {count} axes")
    for name, tensor in tensors.items():
        if reason := _inexpressible(name, tensor):
            raise DataError(f"{file}: {name} with shape {list(tensor.shape)} {reason}")
    kernels = tuple(tensors[name].shape[2] for name in _CONVOLUTIONS)
    return DeepConvLSTM(
        kernel=kernels if len(set(kernels)) > 1 else kernels[0],
        maps=len(tensors["conv1.weight"]),
        hidden=tensors["lstm.weight_hh_l0"].shape[1],
        layers=next(layer for layer in count_from(1) if f"lstm.weight_ih_l{layer}" not in tensors),
        projector=projector,
    )


def _inexpressible(name: str, tensor: Tensor) -> str | None:
    """Return why no `DeepConvLSTM` has such a tensor; None if one may have it."""
    if name.startswith("lstm.") and name.endswith("_reverse"):
        return "belongs to a bidirectional LSTM; a DeepConvLSTM's runs forward only, so that it cannot be imported"
    if name.startswith("lstm.weight_hr_"):
        return "belongs to an LSTM that projects its state (proj_size); a DeepConvLSTM's does not"
    if name in _CONVOLUTIONS and tensor.shape[3] != 1:
        return (
            "is a convolution across channels; those of a DeepConvLSTM run along time only, [maps, inputs, kernel, 1]"
        )
    return None


def _differences(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor], spec: ImuSpec) -> list[str]:
    """Describe each tensor that is missing, has another shape, or is not part of a DeepConvLSTM, in one line."""
    missing = [f"{name} is missing" for name in own if name not in tensors]
    shapes = [
        f"{name} has shape {list(tensors[name].shape)}, expected {list(tensor.shape)}{_channels(name, tensors, spec)}"
        for name, tensor in own.items()
        if name in tensors and tensors[name].shape != tensor.shape
    ]
    extra = [
        f"{name} with shape {list(tensor.shape)} is not part of a DeepConvLSTM of these sizes"
        for name, tensor in tensors.items()
        if name.startswith(_OWN) and name not in own
    ]
    return missing + shapes + extra


def _channels(name: str, tensors: Mapping[str, Tensor], spec: ImuSpec) -> str:
    if name != "lstm.weight_ih_l0":
        return ""
    maps = len(tensors["conv1.weight"])
    channels = tensors[name].shape[-1] / maps
    return f" ({channels:g} channels of {maps} maps; the recordings have {len(spec.channels)} channels)"
