"""An exported AnySensor is used with other sensors than it was trained with; other encoders refuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support.exported_encoder import exported_encoder

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.export import PretrainedImuEncoder, load_encoder
from revalexo_clip.export.folder import write_folder
from revalexo_clip.models.encoders import AnySensor, ResNet1D

WRIST = tuple(f"{kind}_Right_Wrist_{axis}" for kind in ("acc", "gyro") for axis in "xyz")


def moving(rate: float, channels: int) -> torch.Tensor:
    """Return [2, L, channels]: two movements of a tilted sensor, sampled at a rate [Hz]."""
    time_L = np.arange(round(2 * rate)) / rate
    rng = np.random.default_rng(0)
    x_BLC = np.sin(2 * np.pi * rng.uniform(1, 6, (2, 1, channels)) * time_L[None, :, None])
    x_BLC[..., :3] += [3.0, 4.0, 8.0]
    return torch.from_numpy(x_BLC).float()


def test_weights_are_kept_and_a_recording_at_another_rate_is_embedded(tmp_path: Path) -> None:
    encoder = exported_encoder(tmp_path, AnySensor(width=8, highest=12.0))
    wrist = encoder.for_sensors(WRIST, rate=100)
    assert (wrist.spec.channels, wrist.spec.rate, wrist.spec.window) == (WRIST, 100, 2.0)
    assert wrist.spec.units == ("m/s^2",) * 3 + ("rad/s",) * 3
    assert not wrist.training
    theirs = encoder.state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in wrist.state_dict().items())
    at_60 = encoder.for_sensors(WRIST)
    with torch.no_grad():
        want, got = at_60.features(moving(60, 6)), wrist.features(moving(100, 6))
        assert wrist.tokens(moving(100, 6)).shape == (2, 3, 2)
    assert float((want - got).norm(dim=1).max()) < 0.3 * float((want[0] - want[1]).norm())
    table = dict(zip(WRIST, moving(198, 6)[0].repeat(3, 1).T.numpy(), strict=True))
    assert len(wrist.embed_recording(table, rate=198.0).vector_ND) > 5


def test_a_written_copy_is_loaded_with_its_own_sensors(tmp_path: Path) -> None:
    accelerometer = exported_encoder(tmp_path / "all", AnySensor(width=8)).for_sensors(WRIST[:3], rate=30)
    write_folder(tmp_path / "wrist", accelerometer)
    again = load_encoder(tmp_path / "wrist")
    assert isinstance(again, PretrainedImuEncoder)
    assert again.spec == accelerometer.spec
    with torch.no_grad():
        assert torch.equal(again.features(moving(30, 3)), accelerometer.features(moving(30, 3)))


@pytest.mark.parametrize(
    ("channels", "rate", "message"),
    [
        (WRIST[:5], None, "gyro_Right_Wrist_x is not part of one"),
        ((*WRIST, WRIST[0]), None, "acc_Right_Wrist_x more than once"),
        ((), None, "there are none"),
        (WRIST, -1.0, "must be above 0"),
        (WRIST, 1.0, "imu.step"),
    ],
)
def test_sensors_that_it_cannot_encode_are_named(
    channels: tuple[str, ...], rate: float | None, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        exported_encoder(tmp_path, AnySensor(width=8)).for_sensors(channels, rate)


def test_other_encoders_belong_to_their_sensors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the weights of ResNet1D belong to 12 channels at 60 Hz"):
        exported_encoder(tmp_path, ResNet1D(width=8)).for_sensors(WRIST)
