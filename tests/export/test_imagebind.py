"""Imported IMU encoders of ImageBind: the same features and embeddings as a plain function of the state dict."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support.plain_imagebind import State, drawn_state, plain_features, shapes
from torch import nn

from revalexo_clip import load_encoder
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.types import ImuSpec
from revalexo_clip.export import PretrainedImuEncoder
from revalexo_clip.export.imagebind import CHANNELS, UNITS, _names
from revalexo_clip.export.importing import import_encoder
from revalexo_clip.models.encoders import ImageBindIMU


def test_an_imagebind_becomes_a_folder(tmp_path: Path) -> None:
    state = drawn_state()
    torch.save(state, tmp_path / "imagebind.pth")
    imported = import_encoder(tmp_path / "imagebind.pth", subjects=["a"])
    spec = imported.description.imu
    assert spec is not None
    assert (spec.samples, spec.window, spec.rate, spec.channels[0]) == (40, 5.0, 8.0, "acc_Camera_x")
    assert imported.ignored == ("modality_heads.vision.0.weight", "modality_postprocessors.imu.1.log_logit_scale")
    imu_BLC = torch.randn(3, 40, 6, generator=torch.Generator().manual_seed(1))
    encoder = load_encoder(tmp_path / "imagebind")
    assert isinstance(encoder, PretrainedImuEncoder)
    expected_BF = plain_features(state, imu_BLC)
    with torch.no_grad():
        torch.testing.assert_close(encoder(imu_BLC), expected_BF, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(
            encoder.embed(imu_BLC), nn.functional.normalize(expected_BF, dim=1), rtol=1e-4, atol=1e-5
        )
    card = (tmp_path / "imagebind" / "README.md").read_text()
    assert "in the form of ImageBind" in card
    assert "in the space that the encoders of ImageBind share, which are the features at unit length" in card
    assert "CC BY-NC-SA 4.0" in card


def test_the_defaults_have_the_published_sizes() -> None:
    spec = ImuSpec(CHANNELS, UNITS, 400.0, 5.0)
    with torch.device("meta"):
        module = ImageBindIMU().build(spec, 4)
        published = {name: torch.empty(shape) for name, shape in shapes().items()}
    own = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    assert own == {ours: tuple(published[name].shape) for name, ours in _names(published).items()}


def without(name: str) -> Callable[[State], object]:
    return lambda state: state.pop(name)


def replaced(name: str, *shape: int) -> Callable[[State], object]:
    return lambda state: state.__setitem__(name, torch.zeros(shape))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (without("modality_trunks.imu.blocks.1.attn.bias_v"), r"blocks\.1\.attn\.bias_v is missing"),
        (without("modality_heads.imu.3.weight"), r"modality_heads\.imu\.3\.weight is missing"),
        (replaced("modality_preprocessors.imu.pos_embed", 11, 16), r"pos_embed has shape \[11, 16\], expected 3 axes"),
        (replaced("modality_trunks.imu.blocks.0.norm_1.bias", 3), r"norm_1\.bias has shape \[3\], expected \[16\]"),
        (replaced("modality_preprocessors.imu.imu_stem.proj.weight", 12, 24), r"divisible by heads \(8\)"),
    ],
)
def test_every_tensor_that_does_not_fit_is_named(tmp_path: Path, change: Callable[[State], object], says: str) -> None:
    state = drawn_state()
    change(state)
    torch.save(state, tmp_path / "theirs.pth")
    with pytest.raises(DataError, match=rf"(?s)theirs\.pth.*{says}"):
        import_encoder(tmp_path / "theirs.pth")
    with pytest.raises(ConfigError, match="and this is an ImageBind"):
        import_encoder(tmp_path / "theirs.pth", rate=50.0)


def test_patches_must_fill_the_window() -> None:
    with pytest.raises(ConfigError, match=r"a window of 1000 samples .* patches of imu\.patch=7 samples"):
        ImageBindIMU(patch=7).build(ImuSpec(CHANNELS, UNITS, 200.0, 5.0), 4)
