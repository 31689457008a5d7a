"""Convert a stacked encoder of IMU2CLIP or PRIMUS to an encoder folder, as `rxclip import-encoder` does.

The names of the tensors are those of a sequence of six layers, `net.0` ... `net.5` (IMU2CLIP, and PRIMUS without heads)
or `backbone.0` ... `backbone.5` (PRIMUS), behind any prefix: group norm, three convolutions, group norm, GRU. Sizes
follow from the shapes. What shapes do not tell is what these projects publish: a dilation of 2, groups of 2 and 4, and
accelerations [m/s^2] before angular velocities [rad/s].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from pydantic import ValidationError
from torch import Tensor

from revalexo_clip.core.component import describe
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.files import checked_folder
from revalexo_clip.core.types import ImuSpec, Split
from revalexo_clip.core.version import __version__
from revalexo_clip.export import EncoderDescription, Origin, build_encoder
from revalexo_clip.export.folder import write_folder
from revalexo_clip.export.state_dict import Import, below_prefix
from revalexo_clip.models.encoders.gru_over_maps import GRUOverMaps

Form = Literal["imu2clip", "primus"]
HeadName = Literal["ssl_head", "mmcl_head"]
CHANNELS = tuple(f"{kind}_Camera_{axis}" for kind in ("acc", "gyro") for axis in "xyz")
UNITS = ("m/s^2",) * 3 + ("rad/s",) * 3
STACKS = ("net", "backbone")
"""Names of the sequence of layers, see the module's description."""
_LAST = "5.weight_ih_l0"


@dataclass(frozen=True)
class Published:
    """What a project publishes of its encoder, beside its weights."""

    name: str
    rate: float
    """[Hz]"""
    window: float
    """[s]"""
    licence: str


PUBLISHED: Mapping[Form, Published] = {
    "imu2clip": Published(
        "IMU2CLIP",
        200.0,
        5.0,
        "IMU2CLIP (https://github.com/facebookresearch/imu2clip) is licensed under CC BY-NC-SA 4.0: no commercial use, "
        "and what is made from it keeps this licence. Whoever trained these weights may have chosen further terms.",
    ),
    "primus": Published(
        "PRIMUS",
        50.0,
        5.0,
        "PRIMUS (https://github.com/nokia-bell-labs/pretrained-imu-encoders) publishes its weights on Zenodo, whose "
        "page names their licence. It is built on IMU2CLIP, whose licence is CC BY-NC-SA 4.0: no commercial use.",
    ),
}


def stacked_tensors(dicts: Sequence[Mapping[str, Tensor]]) -> tuple[str, dict[str, Tensor]] | None:
    """Return the name of the sequence of layers and the tensors without prefix; None if there is no such encoder."""
    for stack in STACKS:
        tensors = below_prefix(dicts, f"{stack}.{_LAST}")
        if tensors is not None:
            return stack, tensors
    return None


def import_stacked(
    file: Path,
    stack: str,
    tensors: Mapping[str, Tensor],
    *,
    out: str | Path | None = None,
    form: Form | None = None,
    rate: float | None = None,
    window: float | None = None,
    head: HeadName | None = None,
    subjects: Sequence[str] | None = None,
) -> Import:
    """Write a stacked encoder to a folder. `stack` and `tensors` are from `stacked_tensors`.

    - `form`: whose encoder it is; `net` without heads is that of both. By default, IMU2CLIP's if its window fits.
    - `rate` [Hz], `window` [s]: of its windows; by default those that its project publishes.
    - `head`: linear head of PRIMUS whose output becomes the features; by default they are the state of the GRU.
    - `subjects`: names of the training subjects, if they are known.

    Raises `ConfigError` if the window does not fit the encoder, and `DataError` if tensors are missing or do not fit.
    """
    folder = checked_folder(Path(out) if out is not None else file.with_suffix(""))
    renamed = _renamed(file, stack, tensors, head)
    chosen = form or _form_of(stack, renamed, rate, window)
    published = PUBLISHED[chosen]
    spec = ImuSpec(CHANNELS, UNITS, rate or published.rate, window or published.window)
    seen: dict[Split, tuple[str, ...]] | None = None if subjects is None else {"train": tuple(subjects)}
    try:
        architecture = _architecture(file, renamed, chosen, head=head is not None)
        description = EncoderDescription(
            modality="imu",
            encoder=architecture,
            embed_dim=len(renamed["head.weight"]) if head is not None else architecture.hidden,
            imu=spec,
            projection=False,
            origin=Origin(
                experiment=published.name,
                checkpoint=file.name,
                subjects=seen,
                versions={"imported_with": __version__, "torch": metadata.version("torch")},
                licence=published.licence,
            ),
        )
    except ValidationError as error:
        raise DataError(f"{file}: {describe(error)}") from error
    encoder = build_encoder(description)
    own = encoder.encoder.state_dict()
    if differences := list(_differences(own, renamed)):
        raise DataError(f"{file} is not a stacked encoder of {published.name}:\n  " + "\n  ".join(differences))
    encoder.encoder.load_state_dict({name: renamed[name] for name in own})
    written = write_folder(folder, encoder.eval())
    parameters = sum(parameter.numel() for parameter in encoder.parameters())
    used = set(_names(stack, head))
    return Import(*written, parameters, tuple(name for name in tensors if name not in used), _remarks(chosen, spec))


def _remarks(form: Form, spec: ImuSpec) -> tuple[str, ...]:
    length = f"{spec.samples} samples ({spec.window:g} s at {spec.rate:g} Hz)"
    pinned = " only" if form == "imu2clip" else ""
    return (
        f"its windows have {length}{pinned}, accelerations [m/s^2] before angular velocities [rad/s]",
        PUBLISHED[form].licence,
    )


def _names(stack: str, head: HeadName | None) -> dict[str, str]:
    """Return our name of each tensor of the file that belongs to the encoder."""
    names = {f"{stack}.0.{kind}": f"norm.{kind}" for kind in ("weight", "bias")}
    names |= {f"{stack}.{number}.net.0.weight": f"convolutions.{number - 1}.weight" for number in (1, 2, 3)}
    names |= {f"{stack}.4.{kind}": f"map_norm.{kind}" for kind in ("weight", "bias")}
    gru = [f"{kind}_{part}_l0" for kind in ("weight", "bias") for part in ("ih", "hh")]
    names |= {f"{stack}.5.{name}": f"gru.{name}" for name in gru}
    if head is not None:
        names |= {f"{head}.{kind}": f"head.{kind}" for kind in ("weight", "bias")}
    return names


def _renamed(file: Path, stack: str, tensors: Mapping[str, Tensor], head: HeadName | None) -> dict[str, Tensor]:
    names = _names(stack, head)
    for name in names:
        if name not in tensors:
            why = "; --head needs an encoder with this head" if head is not None and name.startswith(head) else ""
            raise DataError(f"{file}: {name} is missing{why}")
    extra = [name for name in tensors if name.startswith(f"{stack}.") and name not in names]
    if extra:
        raise DataError(f"{file}: {extra[0]} with shape {list(tensors[extra[0]].shape)} is not part of this encoder")
    return {own: tensors[name] for name, own in names.items()}


def _form_of(stack: str, renamed: Mapping[str, Tensor], rate: float | None, window: float | None) -> Form:
    """Return whose encoder it is: `backbone` is PRIMUS's; `net` is IMU2CLIP's if the window fits max pooling."""
    if stack == "backbone":
        return "primus"
    published = PUBLISHED["imu2clip"]
    samples = round((rate or published.rate) * (window or published.window))
    kernels = tuple(renamed[f"convolutions.{number}.weight"].shape[-1] for number in range(3))
    length = renamed["gru.weight_ih_l0"].shape[-1]
    return "imu2clip" if GRUOverMaps(kernels=kernels, length=length).map_length(samples) == length else "primus"


def _architecture(file: Path, renamed: Mapping[str, Tensor], form: Form, *, head: bool) -> GRUOverMaps:
    """Return the encoder with the sizes of the tensors."""
    convolutions = [renamed[f"convolutions.{number}.weight"] for number in range(3)]
    for name, tensor, axes in (
        *((f"convolution {number}", tensor, 3) for number, tensor in enumerate(convolutions, start=1)),
        ("weight_ih_l0", renamed["gru.weight_ih_l0"], 2),
        ("weight_hh_l0", renamed["gru.weight_hh_l0"], 2),
    ):
        if tensor.ndim != axes:
            raise DataError(f"{file}: the weight of {name} has shape {list(tensor.shape)}, expected {axes} axes")
    if convolutions[0].shape[1] != len(CHANNELS):
        raise ConfigError(
            f"{file}: the encoder takes {convolutions[0].shape[1]} channels; only encoders of {len(CHANNELS)} "
            "(acceleration and angular velocity along x, y, z) can be imported"
        )
    return GRUOverMaps(
        width=len(convolutions[0]),
        kernels=tuple(tensor.shape[2] for tensor in convolutions),
        length=renamed["gru.weight_ih_l0"].shape[1],
        last_pooling="max" if form == "imu2clip" else "mean",
        hidden=renamed["gru.weight_hh_l0"].shape[1],
        head=head,
    )


def _differences(own: Mapping[str, Tensor], renamed: Mapping[str, Tensor]) -> list[str]:
    """Describe each tensor that has another shape, in one line."""
    return [
        f"{name} has shape {list(renamed[name].shape)}, expected {list(tensor.shape)}"
        for name, tensor in own.items()
        if renamed[name].shape != tensor.shape
    ]
