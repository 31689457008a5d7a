"""Convert a HARNet of OxWearables to an encoder folder, as `rxclip import-encoder` does.

The names of its tensors begin with `feature_extractor.layer1` ... `layer5`, behind any prefix; classifiers are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Literal

from torch import Tensor

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.files import checked_folder
from revalexo_clip.core.types import ImuSpec
from revalexo_clip.core.version import __version__
from revalexo_clip.export import EncoderDescription, Origin, build_encoder
from revalexo_clip.export.folder import write_folder
from revalexo_clip.export.state_dict import Import
from revalexo_clip.models.encoders.harnet import STAGES, HARNet

FIRST = "feature_extractor.layer1.0.weight"
"""Tensor by which a HARNet is known."""
_BODY = "feature_extractor."
LICENCE = (
    "HARNet (https://github.com/OxWearables/ssl-wearables) is licensed by the University of Oxford for academic use: "
    "no commercial use of code or weights."
)
CHANNELS = tuple(f"acc_Wrist_{axis}" for axis in "xyz")
RATE = 30.0
"""[Hz]"""
_COUNTERS = "num_batches_tracked"


def import_harnet(
    file: Path,
    tensors: Mapping[str, Tensor],
    *,
    out: str | Path | None = None,
    subjects: Sequence[str] | None = None,
) -> Import:
    """Write a HARNet to a folder. Raises `DataError` if tensors are missing or do not fit a published network."""
    folder = checked_folder(Path(out) if out is not None else file.with_suffix(""))
    own = {name.removeprefix(_BODY): tensor for name, tensor in tensors.items() if name.startswith(_BODY)}
    seconds = _seconds(file, own)
    encoder_of = HARNet(seconds=seconds)
    description = EncoderDescription(
        modality="imu",
        encoder=encoder_of,
        embed_dim=encoder_of.feature_dim(1),
        imu=ImuSpec(CHANNELS, ("g",) * 3, RATE, float(seconds)),
        projection=False,
        origin=Origin(
            experiment="HARNet",
            checkpoint=file.name,
            subjects=None if subjects is None else {"train": tuple(subjects)},
            versions={"imported_with": __version__, "torch": metadata.version("torch")},
            licence=LICENCE,
        ),
    )
    encoder = build_encoder(description)
    expected = encoder.encoder.state_dict()
    if differences := list(_differences(expected, own)):
        raise DataError(f"{file} is not a HARNet for {seconds} s:\n  " + "\n  ".join(differences))
    kept = {name: own.get(name, tensor) for name, tensor in expected.items()}
    encoder.encoder.load_state_dict(kept)
    written = write_folder(folder, encoder.eval())
    parameters = sum(parameter.numel() for parameter in encoder.parameters())
    ignored = tuple(name for name in tensors if name.removeprefix(_BODY) not in expected)
    remark = f"its windows have {seconds * 30} samples ({seconds} s at 30 Hz) of an accelerometer at the wrist [g]"
    return Import(*written, parameters, ignored, (remark, LICENCE))


def _seconds(file: Path, own: Mapping[str, Tensor]) -> Literal[5, 10, 30]:
    """Return which published network it is, by the maps of its last and the filter of its first stage."""
    for seconds in (5, 10, 30):
        stages = STAGES[seconds]
        first, last = stages[0], stages[-1]
        blur = f"layer1.{first.blocks + 3}.kernel"
        if blur in own and "layer5.0.weight" in own:
            shapes = tuple(own[blur].shape), own["layer5.0.weight"].shape[0]
            if shapes == ((first.maps, 1, first.filter_length), last.maps):
                return 5 if seconds == 5 else 10 if seconds == 10 else 30
    raise DataError(f"{file}: layer1 and layer5 are not those of a HARNet for windows of 5, 10 or 30 s")


def _differences(expected: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> list[str]:
    """Describe each tensor that is missing, has another shape or, if it is a fixed filter, another value."""
    found = []
    for name, tensor in expected.items():
        if name not in own:
            if not name.endswith(_COUNTERS):
                found.append(f"{name} is missing")
        elif own[name].shape != tensor.shape:
            found.append(f"{name} has shape {list(own[name].shape)}, expected {list(tensor.shape)}")
        elif name.endswith(".kernel") and not own[name].allclose(tensor, atol=1e-5):
            found.append(f"{name} is another filter than the published one")
    return found
