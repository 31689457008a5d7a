"""An exported IMU encoder with new weights, for the pelvis and the head."""

from __future__ import annotations

from pathlib import Path

from revalexo_clip.core.types import ImuSpec
from revalexo_clip.export import EncoderDescription, Origin, PretrainedImuEncoder, build_encoder, load_encoder
from revalexo_clip.export.folder import write_folder
from revalexo_clip.models.encoders import ImuEncoder
from revalexo_clip.models.tokens import Tokens


def exported_encoder(folder: Path, encoder: ImuEncoder) -> PretrainedImuEncoder:
    channels = tuple(
        f"{kind}_{place}_{axis}" for kind in ("acc", "gyro") for place in ("Pelvis", "Head") for axis in "xyz"
    )
    spec = ImuSpec(channels, ("m/s^2",) * 6 + ("rad/s",) * 6, rate=60.0, window=2.0)
    origin = Origin(
        experiment="e",
        checkpoint="last.ckpt",
        epoch=1,
        step=1,
        subjects={"train": ("01",)},
        versions={"trained_with": "0"},
    )
    description = EncoderDescription(
        modality="imu",
        encoder=encoder,
        embed_dim=4,
        imu=spec,
        origin=origin,
        tokens=Tokens(count=3, dim=2),
        token_times=(0.3, 1.0, 1.7),
    )
    write_folder(folder, build_encoder(description).eval())
    loaded = load_encoder(folder)
    assert isinstance(loaded, PretrainedImuEncoder)
    return loaded
