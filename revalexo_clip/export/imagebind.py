"""Convert the IMU encoder of ImageBind to an encoder folder, as `rxclip import-encoder` does.

The names of its tensors begin with `modality_preprocessors.imu`, `modality_trunks.imu` and `modality_heads.imu`, behind
any prefix; those of other modalities are ignored. Sizes follow from the shapes. What shapes do not tell is what the
project publishes: 8 attention heads, and windows of 5 s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

from pydantic import ValidationError
from torch import Tensor

from revalexo_clip.core.component import describe
from revalexo_clip.core.errors import DataError
from revalexo_clip.core.files import checked_folder
from revalexo_clip.core.types import ImuSpec
from revalexo_clip.core.version import __version__
from revalexo_clip.export import EncoderDescription, Origin, build_encoder
from revalexo_clip.export.folder import write_folder
from revalexo_clip.export.state_dict import Import
from revalexo_clip.models.encoders.imagebind_imu import ImageBindIMU

_INPUT, _TRUNK, _HEAD = "modality_preprocessors.imu.", "modality_trunks.imu.", "modality_heads.imu."
FIRST = f"{_INPUT}imu_stem.proj.weight"
"""Tensor by which the encoder is known."""
_POSITIONS = f"{_INPUT}pos_embed"
CHANNELS = tuple(f"{kind}_Camera_{axis}" for kind in ("acc", "gyro") for axis in "xyz")
UNITS = ("m/s^2",) * 3 + ("rad/s",) * 3
WINDOW = 5.0
"""[s]"""
HEADS = 8
LICENCE = (
    "ImageBind (https://github.com/facebookresearch/ImageBind) is licensed under CC BY-NC-SA 4.0, code and weights: no "
    "commercial use, and what is made from it keeps this licence."
)
_OUTER = {
    f"{_INPUT}cls_token": "embedding.token",
    _POSITIONS: "embedding.position",
    FIRST: "embedding.linear.weight",
    f"{_INPUT}imu_stem.norm_layer.weight": "embedding.norm.weight",
    f"{_INPUT}imu_stem.norm_layer.bias": "embedding.norm.bias",
    f"{_HEAD}0.weight": "norm.weight",
    f"{_HEAD}0.bias": "norm.bias",
    f"{_HEAD}3.weight": "projection.weight",
}
_OF_A_BLOCK = {
    "attn.in_proj_weight": "query_key_value.weight",
    "attn.in_proj_bias": "query_key_value.bias",
    "attn.bias_k": "key",
    "attn.bias_v": "value",
    **{
        f"{theirs}.{kind}": f"{own}.{kind}"
        for theirs, own in (
            ("attn.out_proj", "output"),
            ("norm_1", "attention_norm"),
            ("norm_2", "norm"),
            ("mlp.fc1", "hidden"),
            ("mlp.fc2", "back"),
        )
        for kind in ("weight", "bias")
    },
}


def import_imagebind(
    file: Path,
    tensors: Mapping[str, Tensor],
    *,
    out: str | Path | None = None,
    subjects: Sequence[str] | None = None,
) -> Import:
    """Write the IMU encoder of an ImageBind to a folder.

    Its features are what ImageBind compares with other modalities, so that they have no projection head. Raises
    `DataError` if tensors are missing or do not fit.
    """
    folder = checked_folder(Path(out) if out is not None else file.with_suffix(""))
    names = _names(tensors)
    if missing := [name for name in names if name not in tensors]:
        raise DataError(f"{file}: {missing[0]} is missing; the IMU encoder of ImageBind has it")
    renamed = {own: tensors[name] for name, own in names.items()}
    try:
        architecture, samples = _architecture(file, tensors, renamed)
        description = EncoderDescription(
            modality="imu",
            encoder=architecture,
            embed_dim=architecture.features,
            imu=ImuSpec(CHANNELS, UNITS, samples / WINDOW, WINDOW),
            headless=True,
            origin=Origin(
                experiment="ImageBind",
                checkpoint=file.name,
                subjects=None if subjects is None else {"train": tuple(subjects)},
                versions={"imported_with": __version__, "torch": metadata.version("torch")},
                licence=LICENCE,
            ),
        )
    except ValidationError as error:
        raise DataError(f"{file}: {describe(error)}") from error
    encoder = build_encoder(description)
    own = encoder.encoder.state_dict()
    if differences := [
        f"{name} has shape {list(tensors[name].shape)}, expected {list(own[ours].shape)}"
        for name, ours in names.items()
        if tensors[name].shape != own[ours].shape
    ]:
        raise DataError(f"{file} is not the IMU encoder of ImageBind:\n  " + "\n  ".join(differences))
    encoder.encoder.load_state_dict(renamed)
    written = write_folder(folder, encoder.eval())
    parameters = sum(parameter.numel() for parameter in encoder.parameters())
    return Import(*written, parameters, tuple(name for name in tensors if name not in names), _remarks(samples))


def _remarks(samples: int) -> tuple[str, ...]:
    return (
        f"its windows have {samples} samples ({WINDOW:g} s at {samples / WINDOW:g} Hz), accelerations [m/s^2] before "
        "angular velocities [rad/s]; neither order nor units are published beside the weights: check them",
        LICENCE,
    )


def _names(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Return our name of each tensor of the encoder."""
    blocks = f"{_TRUNK}blocks."
    numbers = {name.removeprefix(blocks).partition(".")[0] for name in tensors if name.startswith(blocks)}
    inner = {
        f"{blocks}{number}.{theirs}": f"layers.{number}.{own}"
        for number in range(max(len(numbers), 1))
        for theirs, own in _OF_A_BLOCK.items()
    }
    return _OUTER | inner


def _architecture(file: Path, tensors: Mapping[str, Tensor], renamed: Mapping[str, Tensor]) -> tuple[ImageBindIMU, int]:
    """Return the encoder with the sizes of the tensors, and the number of samples of its windows."""
    for name, axes in ((FIRST, 2), (_POSITIONS, 3), (f"{_HEAD}3.weight", 2)):
        if tensors[name].ndim != axes:
            raise DataError(f"{file}: {name} has shape {list(tensors[name].shape)}, expected {axes} axes")
    width, inputs = tensors[FIRST].shape
    patch, places = inputs // len(CHANNELS), tensors[_POSITIONS].shape[1]
    encoder = ImageBindIMU(
        patch=patch,
        width=width,
        depth=sum(name.endswith(".key") for name in renamed),
        heads=HEADS,
        feedforward=len(renamed["layers.0.hidden.weight"]),
        features=len(tensors[f"{_HEAD}3.weight"]),
    )
    return encoder, (places - 1) * patch
