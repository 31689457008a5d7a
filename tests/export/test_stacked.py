"""Imported stacked encoders: state dicts of IMU2CLIP and PRIMUS become encoder folders with the same features."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support.plain_stacked import State, drawn_state, state_after
from torch import Tensor

from revalexo_clip import load_encoder
from revalexo_clip.cli.app import app
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.export import PretrainedImuEncoder
from revalexo_clip.export.importing import import_encoder
from revalexo_clip.models.encoders import GRUOverMaps


def imu_windows(samples: int, count: int = 3) -> Tensor:
    return 2 + 5 * torch.randn(count, samples, 6, generator=torch.Generator().manual_seed(1))


def features(folder: Path, imu_BLC: Tensor) -> Tensor:
    encoder = load_encoder(folder)
    assert isinstance(encoder, PretrainedImuEncoder)
    with torch.no_grad():
        computed: Tensor = encoder(imu_BLC)
    return computed


@pytest.mark.parametrize("prefix", ["", "imu_encoder.", "module.imu_encoder."])
def test_imu2clip_keeps_its_quirk_and_pins_its_length(tmp_path: Path, prefix: str) -> None:
    state = drawn_state("net")
    saved = {f"{prefix}{name}": tensor for name, tensor in state.items()}
    torch.save(saved if not prefix else {"epoch": 3, "state_dict": saved}, tmp_path / "i2c_s_i_src_encoder.pt")
    imported = import_encoder(tmp_path / "i2c_s_i_src_encoder.pt")
    assert imported.description.encoder == GRUOverMaps(width=8, hidden=12)
    spec = imported.description.imu
    assert spec is not None
    assert (spec.rate, spec.window, spec.samples) == (200.0, 5.0, 1000)
    assert spec.channels[0] == "acc_Camera_x"
    assert spec.units == ("m/s^2",) * 3 + ("rad/s",) * 3
    imu_BLC = imu_windows(1000)
    expected_BH = state_after(state, "net", imu_BLC, parts=None)
    torch.testing.assert_close(features(tmp_path / "i2c_s_i_src_encoder", imu_BLC), expected_BH, rtol=0, atol=1e-5)
    assert imported.ignored == ()
    assert imported.parameters == sum(tensor.numel() for tensor in state.values())
    with pytest.raises(ConfigError, match=r"4 s at 200 Hz has 800 samples, but only windows of 978 to 1004 samples"):
        import_encoder(tmp_path / "i2c_s_i_src_encoder.pt", form="imu2clip", window=4.0)


@pytest.mark.parametrize("head", [None, "mmcl_head", "ssl_head"])
def test_primus_has_heads_and_takes_windows_of_any_length(tmp_path: Path, head: str | None) -> None:
    state = drawn_state("backbone", heads=True)
    others = {"video_encoder.weight": torch.zeros(3)}
    saved = {f"imu_encoder.{name}": tensor for name, tensor in state.items()} | others
    torch.save({"state_dict": saved}, tmp_path / "best_model.ckpt")
    for window, samples in ((5.0, 250), (2.5, 125)):
        imported = import_encoder(tmp_path / "best_model.ckpt", window=window, head=head)  # type: ignore[arg-type]
        assert imported.description.encoder == GRUOverMaps(
            width=8, hidden=12, last_pooling="mean", head=head is not None
        )
        imu_BLC = imu_windows(samples)
        expected_BF = state_after(state, "backbone", imu_BLC, parts=32)
        if head is not None:
            expected_BF = expected_BF @ state[f"{head}.weight"].T + state[f"{head}.bias"]
        torch.testing.assert_close(features(tmp_path / "best_model", imu_BLC), expected_BF, rtol=0, atol=1e-5)
    unused = [f"{name}.{kind}" for name in ("ssl_head", "mmcl_head") if name != head for kind in ("weight", "bias")]
    assert imported.ignored == (*unused, "video_encoder.weight")


def test_a_stack_without_heads_is_that_of_primus_if_only_its_pooling_fits_the_window(tmp_path: Path) -> None:
    state = drawn_state("net")
    torch.save(state, tmp_path / "theirs.pt")
    imported = import_encoder(tmp_path / "theirs.pt", rate=50.0)
    assert imported.description.origin.experiment == "PRIMUS"
    imu_BLC = imu_windows(250)
    expected_BH = state_after(state, "net", imu_BLC, parts=32)
    torch.testing.assert_close(features(tmp_path / "theirs", imu_BLC), expected_BH, rtol=0, atol=1e-5)


def test_the_published_sizes_are_the_defaults(tmp_path: Path) -> None:
    torch.save(drawn_state("net", width=32, hidden=512), tmp_path / "theirs.pt")
    imported = import_encoder(tmp_path / "theirs.pt", subjects=["P1"])
    assert imported.description.encoder == GRUOverMaps()
    assert imported.parameters == 12 + 1920 + 2 * 5120 + 64 + 3 * 512 * (32 + 512 + 2)
    assert imported.description.origin.subjects == {"train": ("P1",)}


@pytest.mark.parametrize(("stack", "project"), [("net", "IMU2CLIP"), ("backbone", "PRIMUS")])
def test_the_card_names_project_and_licence(tmp_path: Path, stack: str, project: str) -> None:
    torch.save(drawn_state(stack), tmp_path / "theirs.pt")
    import_encoder(tmp_path / "theirs.pt")
    card = (tmp_path / "theirs" / "README.md").read_text()
    assert f"An IMU encoder in the form of {project}, imported from `theirs.pt`" in card
    assert "CC BY-NC-SA 4.0" in card
    assert "not-yet-chosen" not in card
    assert json.loads((tmp_path / "theirs" / "config.json").read_text())["origin"]["licence"].startswith(project)


def without(name: str) -> Callable[[State], object]:
    return lambda state: state.pop(name)


def replaced(name: str, *shape: int) -> Callable[[State], object]:
    return lambda state: state.__setitem__(name, torch.zeros(shape))


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (without("net.1.net.0.weight"), DataError, r"net\.1\.net\.0\.weight is missing"),
        (without("net.5.bias_hh_l0"), DataError, r"net\.5\.bias_hh_l0 is missing"),
        (replaced("net.5.weight_ih_l1", 36, 12), DataError, r"net\.5\.weight_ih_l1 with shape \[36, 12\] is not part"),
        (replaced("net.1.net.0.weight", 8, 3, 10), ConfigError, "the encoder takes 3 channels; only encoders of 6"),
        (replaced("net.2.net.0.weight", 8, 8), DataError, r"weight of convolution 2 has shape \[8, 8\], expected 3"),
        (replaced("net.2.net.0.weight", 8, 7, 5), DataError, r"convolutions\.1\.weight has shape \[8, 7, 5\], expect"),
        (replaced("net.0.weight", 5), DataError, r"norm\.weight has shape \[5\], expected \[6\]"),
        (without("net.5.weight_ih_l0"), DataError, r"no encoder with RevalExo's names.*nor a stacked encoder"),
    ],
)
def test_every_tensor_that_does_not_fit_is_named(
    tmp_path: Path, change: Callable[[State], object], error: type[Exception], says: str
) -> None:
    state = drawn_state("net")
    change(state)
    torch.save(state, tmp_path / "theirs.pt")
    with pytest.raises(error, match=rf"(?s)theirs\.pt.*{says}"):
        import_encoder(tmp_path / "theirs.pt", form="imu2clip")
    assert not (tmp_path / "theirs").exists()


def test_a_head_that_is_not_there_and_options_that_do_not_apply_are_errors(tmp_path: Path) -> None:
    torch.save(drawn_state("net"), tmp_path / "theirs.pt")
    with pytest.raises(DataError, match=r"mmcl_head\.weight is missing; --head needs an encoder with this head"):
        import_encoder(tmp_path / "theirs.pt", head="mmcl_head")
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "lstm.pt")
    with pytest.raises(ConfigError, match="--experiment is required for an encoder of RevalExo"):
        import_encoder(tmp_path / "lstm.pt")
    with pytest.raises(ConfigError, match="apply to stacked encoders only, and this is RevalExo's"):
        import_encoder(tmp_path / "lstm.pt", rate=50.0)


def test_the_command_says_what_the_encoder_takes_and_its_licence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(drawn_state("backbone", heads=True), tmp_path / "theirs.pt")
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as left:
        app(["import-encoder", str(tmp_path / "theirs.pt"), "--head", "mmcl_head", "--out", str(out)])
    assert left.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "GRUOverMaps, " in said
    assert "ignored, because they are not part of the encoder: ssl_head.weight, ssl_head.bias" in said
    assert "its windows have 250 samples (5 s at 50 Hz), accelerations [m/s^2] before angular velocities" in said
    assert "names their licence" in said
    assert features(out, imu_windows(250)).shape == (3, 12)
