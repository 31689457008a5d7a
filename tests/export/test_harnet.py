"""Imported HARNets: state dicts of all three published networks become encoder folders with the same features."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support.plain_harnet import State, drawn_state, plain_features

from revalexo_clip import load_encoder
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.types import ImuSpec
from revalexo_clip.export.importing import import_encoder
from revalexo_clip.models.encoders import HARNet


@pytest.mark.long
@pytest.mark.parametrize(("seconds", "features"), [(5, 512), (10, 1024), (30, 1024)])
def test_a_harnet_becomes_a_folder(tmp_path: Path, seconds: int, features: int) -> None:
    state = drawn_state(seconds)
    torch.save({f"module.{name}": tensor for name, tensor in state.items()}, tmp_path / "mtl_best.mdl")
    imported = import_encoder(tmp_path / "mtl_best.mdl")
    spec = imported.description.imu
    assert spec is not None
    assert (spec.samples, spec.units, spec.channels[0]) == (30 * seconds, ("g",) * 3, "acc_Wrist_x")
    assert imported.ignored == ("classifier.linear1.weight",)
    imu_BLC = torch.randn(2, 30 * seconds, 3, generator=torch.Generator().manual_seed(1))
    encoder = load_encoder(tmp_path / "mtl_best")
    with torch.no_grad():
        found_BF = encoder(imu_BLC)
    assert found_BF.shape == (2, features)
    torch.testing.assert_close(found_BF, plain_features(state, seconds, imu_BLC), rtol=1e-4, atol=1e-4)
    card = (tmp_path / "mtl_best" / "README.md").read_text()
    assert "in the form of HARNet" in card
    assert "licensed by the University of Oxford for academic use" in card


def without(name: str) -> Callable[[State], object]:
    return lambda state: state.pop(f"feature_extractor.{name}")


def replaced(name: str, *shape: int) -> Callable[[State], object]:
    return lambda state: state.__setitem__(f"feature_extractor.{name}", torch.zeros(shape))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (without("layer2.1.bn1.running_var"), r"layer2\.1\.bn1\.running_var is missing"),
        (replaced("layer3.0.weight", 256, 128, 3), r"layer3\.0\.weight has shape \[256, 128, 3\], expected \[256, 12"),
        (replaced("layer4.5.kernel", 256, 1, 5), r"layer4\.5\.kernel is another filter"),
        (replaced("layer5.0.weight", 9, 256, 5), "are not those of a HARNet for windows of 5, 10 or 30 s"),
    ],
)
def test_every_tensor_that_does_not_fit_is_named(tmp_path: Path, change: Callable[[State], object], says: str) -> None:
    state = drawn_state(5)
    change(state)
    torch.save(state, tmp_path / "theirs.mdl")
    with pytest.raises(DataError, match=rf"(?s)theirs\.mdl.*{says}"):
        import_encoder(tmp_path / "theirs.mdl")
    with pytest.raises(ConfigError, match="and this is a HARNet"):
        import_encoder(tmp_path / "theirs.mdl", rate=50.0)


def test_other_windows_are_refused() -> None:
    spec = ImuSpec(tuple(f"acc_Wrist_{axis}" for axis in "xyz"), ("g",) * 3, 30.0, 10.0)
    assert len(HARNet().blocks(HARNet().build(spec, 4))) == 5
    with pytest.raises(ConfigError, match="seconds=30 takes windows of 30 s at 30 Hz, not 10 s at 30 Hz"):
        HARNet(seconds=30).build(spec, 4)
    with pytest.raises(ConfigError, match="takes 3 channels"):
        HARNet().build(ImuSpec(("acc_x",), ("g",), 30.0, 10.0), 4)
