"""The exported encoder as others load it: the same features, any order of named channels, and one clear error."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from pydantic import JsonValue
from safetensors.torch import load_file, save_file
from support.small_run import built_in_experiment, train
from torch import Tensor

from revalexo_clip import load_encoder
from revalexo_clip.core.errors import ConfigError, DataError, UserError
from revalexo_clip.export import PretrainedImuEncoder
from revalexo_clip.export.folder import export_encoder
from revalexo_clip.models.dual_encoder import DualEncoder
from revalexo_clip.runs.checkpoint import load_checkpoint

CHANNELS = (
    "acc_Pelvis_x",
    "acc_Pelvis_y",
    "acc_Left_Foot_x",
    "acc_Left_Foot_y",
    "gyro_Pelvis_x",
    "gyro_Pelvis_y",
)


def rebuilt(run: Path) -> DualEncoder:
    return load_checkpoint(run / "checkpoints" / "best.ckpt").build_model()


def random_imu(seed: int = 0) -> Tensor:
    return torch.randn(3, 120, 6, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def folder(run: Path) -> Path:
    """An exported IMU encoder, which a test may damage."""
    return export_encoder("imu", run).files[0].parent


@pytest.fixture
def encoder(folder: Path) -> PretrainedImuEncoder:
    encoder = load_encoder(folder)
    assert isinstance(encoder, PretrainedImuEncoder)
    return encoder


def test_imu_features_are_the_checkpoint_s_bit_for_bit(encoder: PretrainedImuEncoder, run: Path) -> None:
    model, imu_BLC = rebuilt(run), random_imu()
    with torch.no_grad():
        assert torch.equal(encoder(imu_BLC), model.imu_features(imu_BLC))
        assert torch.equal(encoder.embed(imu_BLC), model.embed_imu(imu_BLC))
        assert not torch.equal(encoder(imu_BLC[:1]), encoder(imu_BLC[1:2]))
    assert not encoder.training


@pytest.mark.long
def test_video_features_are_the_checkpoint_s_bit_for_bit(run: Path) -> None:
    encoder, model = load_encoder(export_encoder("video", run).files[0].parent), rebuilt(run)
    video_BTHWC = torch.randint(256, (2, 4, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(encoder(video_BTHWC), model.video_features(video_BTHWC))
        assert torch.equal(encoder.embed(video_BTHWC), model.embed_video(video_BTHWC))
    with pytest.raises(ValueError, match=r"uint8 \[B, 4, 32, 32, 3\], not torch.float32 \[2, 4, 32, 32, 3\]"):
        encoder(video_BTHWC.float())
    with pytest.raises(ValueError, match=r"not torch.uint8 \[2, 3, 32, 32, 3\]"):
        encoder(video_BTHWC[:, :3])


@pytest.mark.long
def test_standardisation_is_inside(distinct: Path, tmp_path: Path) -> None:
    run = train(built_in_experiment(distinct, standardize=True, video={"type": "X3D", "weights": None}), tmp_path)
    encoder, imu_BLC = load_encoder(export_encoder("imu", run).files[0].parent), random_imu()
    assert isinstance(encoder, PretrainedImuEncoder)
    assert encoder.spec.mean is not None
    assert encoder.spec.std is not None
    by_hand_BLC = (imu_BLC - torch.tensor(encoder.spec.mean)) / torch.tensor(encoder.spec.std)
    with torch.no_grad():
        assert torch.equal(encoder(imu_BLC), encoder.encoder(by_hand_BLC))
        assert torch.equal(encoder(imu_BLC), rebuilt(run).imu_features(imu_BLC))
        assert not torch.equal(encoder(imu_BLC), encoder.encoder(imu_BLC))


class Table:
    """Columns by name, as a pandas DataFrame has them: no `Mapping`, and iterated by name."""

    def __init__(self, columns: Mapping[str, npt.ArrayLike]) -> None:
        self.columns = columns

    def keys(self) -> Iterator[str]:
        return iter(self.columns)

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    def __getitem__(self, name: str) -> npt.ArrayLike:
        return self.columns[name]


@pytest.mark.parametrize("form", [dict, Table])
def test_named_channels_come_in_any_order(
    encoder: PretrainedImuEncoder, form: Callable[[Mapping[str, npt.ArrayLike]], Mapping[str, npt.ArrayLike]]
) -> None:
    imu_BLC = random_imu()
    named = {name: imu_BLC[..., place].numpy() for place, name in enumerate(CHANNELS)}
    table = form({"time": np.arange(120), **dict(reversed(named.items()))})
    with torch.no_grad():
        assert torch.equal(encoder(table), encoder(imu_BLC))
        assert torch.equal(encoder.embed(table), encoder.embed(imu_BLC))


def test_one_window_of_named_channels_is_a_batch_of_one(encoder: PretrainedImuEncoder) -> None:
    imu_BLC = random_imu()[:1]
    lists = {name: imu_BLC[0, :, place].tolist() for place, name in enumerate(CHANNELS)}
    with torch.no_grad():
        assert torch.equal(encoder(lists), encoder(imu_BLC))


def test_windows_in_double_precision_are_taken(encoder: PretrainedImuEncoder) -> None:
    with torch.no_grad():
        assert torch.equal(encoder(random_imu().double()), encoder(random_imu()))


@pytest.mark.parametrize("shape", [(120, 6), (1, 6, 120), (1, 119, 6), (1, 120, 5)])
def test_a_window_of_another_shape_is_an_error(encoder: PretrainedImuEncoder, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\[B, 120, 6\] \(2 s at 60 Hz, .*\), not \[" + ", ".join(map(str, shape))):
        encoder(torch.zeros(shape))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"acc_Pelvis_y": None},
            "channels missing: acc_Pelvis_y (did you mean acc_Pelvis_x?); given: acc_",
        ),
        (
            {"gyro_Pelvis_y": [0.0] * 119 + [float("nan")]},
            "channels with NaN or infinite values: gyro_Pelvis_y (1 value, the first in row 119)",
        ),
        ({"acc_Left_Foot_x": [0.0] * 60}, "channel acc_Left_Foot_x is [60], but acc_Pelvis_x is [120]"),
        ({"acc_Left_Foot_x": ["slow"] * 120}, "channel acc_Left_Foot_x: could not convert string to float"),
    ],
)
def test_channels_that_cannot_be_used_are_named(
    encoder: PretrainedImuEncoder, changes: Mapping[str, npt.ArrayLike | None], says: str
) -> None:
    zeros: dict[str, npt.ArrayLike | None] = {name: [0.0] * 120 for name in CHANNELS}
    with pytest.raises(ValueError, match="channel") as raised:
        encoder({name: x for name, x in (zeros | dict(changes)).items() if x is not None})
    assert says in str(raised.value)


def test_an_array_of_windows_is_taken_as_a_tensor_is(encoder: PretrainedImuEncoder) -> None:
    with torch.no_grad():
        assert torch.equal(encoder(random_imu().double().numpy()), encoder(random_imu()))
    broken_BLC = random_imu().numpy()
    broken_BLC[1, 7, 2] = np.inf
    with pytest.raises(ValueError, match=r"NaN or infinite values: acc_Left_Foot_x \(1 value, the first in row 7\)"):
        encoder(broken_BLC)
    with pytest.raises(ValueError, match=r"must be \[B, 120, 6\] .* not \[3, 6\]; embed_recording cuts"):
        encoder(np.zeros((3, 6)))
    with pytest.raises(TypeError, match=r"named channels, not <class 'list'>"):
        encoder([[0.0]])


@pytest.mark.long
def test_the_encoder_names_its_training_subjects(encoder: PretrainedImuEncoder) -> None:
    assert encoder.subjects == {"train": ("Subject01", "Subject02"), "val": ("Subject08",)}


def set_config(folder: Path, *path: str, value: JsonValue) -> None:
    content = json.loads((folder / "config.json").read_text())
    inner = content
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    (folder / "config.json").write_text(json.dumps(content))


@pytest.mark.long
@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (("embed_dim",), "many", "embed_dim: .*valid integer"),
        (("embed_dim",), 0, "embed_dim: .*greater than 0"),
        (("embed_dims",), 16, "unknown field; did you mean 'embed_dim'"),
        (("format",), 2, "format: .*(got 2)"),
        (("imu",), None, "the encoder and its input do not match the modality"),
        (("modality",), "video", "the encoder and its input do not match the modality"),
        (("encoder", "type"), "X3DD", "unknown .*'X3DD'.*\n.*load_encoder"),
        (("encoder", "kernel"), 99, "need 393 samples"),
        (("imu", "channels"), "acc", "imu.channels"),
        (("imu", "channels"), [CHANNELS[0], *CHANNELS[:5]], "imu.channels: acc_Pelvis_x more than once"),
        (("imu", "channels"), [*reversed(CHANNELS)], "imu.channels: not what model.safetensors was written with"),
        (("imu", "units"), ["m/s^2"] * 5, "imu.units: 5 units for 6 channels"),
        (("imu", "rate"), 0.0, "imu: rate 0.0 Hz and window 2.0 s must be above 0"),
        (("imu", "rate"), 50.0, "imu.rate: not what model.safetensors was written with"),
        (("imu", "mean"), [0.0] * 6, "imu: mean and std belong together"),
        (("projection",), "perhaps", "projection: Input should be a valid boolean"),
    ],
)
def test_a_damaged_description_is_an_error_that_names_the_file(
    folder: Path, path: tuple[str, ...], value: JsonValue, says: str
) -> None:
    set_config(folder, *path, value=value)
    with pytest.raises(DataError, match=rf"(?s)imu/config\.json: .*{says}") as raised:
        load_encoder(folder)
    print(raised.value)


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "values", "says"),
    [
        ("std", [1.0] * 5 + [0.0], r"imu\.std: values must be above 0 and finite"),
        ("std", [1.0] * 5 + [float("nan")], r"imu\.std"),
        ("mean", [0.0] * 5 + [float("inf")], r"imu\.mean"),
        ("mean", [0.0] * 5, "imu.mean: 5 values for 6 channels"),
        ("mean", [0.0] * 5 + [0.5], r"imu\.mean differs from samples\.mean in model\.safetensors"),
        ("std", [1.0] * 5 + [2.0], r"imu\.std differs from samples\.std in model\.safetensors"),
    ],
)
def test_a_standardisation_that_cannot_be_right_is_an_error(
    folder: Path, name: str, values: list[float], says: str
) -> None:
    spec = {"mean": [0.0] * 6, "std": [1.0] * 6} | {name: values}
    for key, value in spec.items():
        set_config(folder, "imu", key, value=list(value))
    weights = load_file(folder / "model.safetensors")
    weights |= {"samples.mean": torch.zeros(6), "samples.std": torch.ones(6)}
    save_file(weights, folder / "model.safetensors")  # without metadata, as earlier versions wrote it
    with pytest.raises(DataError, match=rf"imu/config\.json: .*{says}"):
        load_encoder(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_an_error_that_names_them(folder: Path, value: float) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["encoder.conv2.bias"][1] = value
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(DataError, match=r"model\.safetensors: encoder\.conv2\.bias: values must be finite"):
        load_encoder(folder)


@pytest.mark.long
@pytest.mark.parametrize("size", [10**6, 10**9, 10**18, 10**30])
@pytest.mark.parametrize("path", [("embed_dim",), ("encoder", "hidden"), ("encoder", "maps")])
def test_huge_sizes_are_an_error_before_memory_is_taken(folder: Path, path: tuple[str, ...], size: int) -> None:
    save_file(load_file(folder / "model.safetensors"), folder / "model.safetensors")  # without metadata
    set_config(folder, *path, value=size)
    with pytest.raises(DataError, match=r"imu/(config\.json: no encoder of these sizes|model\.safetensors: the w)"):
        load_encoder(folder)


@pytest.mark.long
def test_weights_of_an_earlier_version_have_no_metadata_and_load(folder: Path) -> None:
    before = load_encoder(folder)
    save_file(load_file(folder / "model.safetensors"), folder / "model.safetensors")
    with torch.no_grad():
        assert torch.equal(load_encoder(folder)(random_imu()), before(random_imu()))


@pytest.mark.long
def test_tokens_of_an_encoder_without_a_sequence_are_an_error(run: Path) -> None:
    folder = export_encoder("video", run).files[0].parent
    save_file(load_file(folder / "model.safetensors"), folder / "model.safetensors")
    set_config(folder, "tokens", value={"count": 2, "dim": 4})
    set_config(folder, "token_times", value=[0.5, 1.5])
    with pytest.raises(DataError, match=r"config\.json: tokens: X3D computes no sequence|tokens"):
        load_encoder(folder)


@pytest.mark.long
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"format": 1}'])
def test_what_is_no_description_is_an_error_that_names_the_file(folder: Path, content: bytes) -> None:
    (folder / "config.json").write_bytes(content)
    with pytest.raises(DataError, match=r"imu/config\.json: "):
        load_encoder(folder)


def test_a_folder_without_a_description_is_no_encoder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config\.json: no such file; .* is not an exported encoder"):
        load_encoder(tmp_path)


def test_missing_weights_are_an_error_that_names_the_file(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(DataError, match=r"imu/model\.safetensors: missing from this encoder folder"):
        load_encoder(folder)


@pytest.mark.long
@pytest.mark.parametrize("kept", [0, 4, 100, -1])
def test_truncated_weights_are_an_error_that_names_the_file(folder: Path, kept: int) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError, match=r"imu/model\.safetensors: corrupt, or not a safetensors file"):
        load_encoder(folder)


def test_weights_of_another_shape_are_an_error_that_names_the_file(folder: Path) -> None:
    set_config(folder, "encoder", "hidden", value=9)
    with pytest.raises(DataError, match=r"imu/model\.safetensors: the weights do not fit the encoder in config"):
        load_encoder(folder)


def test_weights_under_another_name_are_an_error_that_names_the_file(folder: Path) -> None:
    path = folder / "model.safetensors"
    save_file({name.replace("conv1", "conv0"): tensor for name, tensor in load_file(path).items()}, path)
    with pytest.raises(UserError, match=r"(?s)model\.safetensors: .*conv1\.weight"):
        load_encoder(folder)
