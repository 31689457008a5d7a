"""`encoder.onnx`: its outputs under onnxruntime equal those of torch, or it is not written."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from support.pages import ROOT, Page
from support.small_process import succeed
from torch import Tensor, nn

from revalexo_clip import load_encoder
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.types import ImuSpec
from revalexo_clip.export import EncoderDescription, Origin, PretrainedImuEncoder
from revalexo_clip.export.folder import export_encoder
from revalexo_clip.export.onnx import CheckWindows, write_onnx
from revalexo_clip.models.encoders import (
    AnySensor,
    AttentionPooled,
    DeepConvLSTM,
    GRUOverMaps,
    ImuEncoder,
    PatchTransformer,
    SpectralAttention,
    StackedConvGRU,
)

ALONE = """
import sys
sys.modules["torch"] = sys.modules["revalexo_clip"] = None  # neither can be imported
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("encoder.onnx", providers=["CPUExecutionProvider"])
(taken,) = session.get_inputs()
windows = np.load("windows.npy")
batches = [session.run(["features", "embedding"], {taken.name: part}) for part in (windows[:1], windows[1:])]
np.savez("outputs.npz", *(np.concatenate(parts) for parts in zip(*batches)))
"""
"""What somebody without torch runs."""


def outputs_alone(folder: Path, windows: Tensor) -> tuple[Tensor, Tensor]:
    """Compute features and embeddings with onnxruntime, in a process without torch and this package."""
    np.save(folder / "windows.npy", windows.numpy())
    subprocess.run([sys.executable, "-c", ALONE], cwd=folder, check=True)
    with np.load(folder / "outputs.npz") as outputs:
        return torch.from_numpy(outputs["arr_0"]), torch.from_numpy(outputs["arr_1"])


@pytest.mark.long
def test_onnxruntime_alone_gives_the_same_numbers(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = succeed("export-encoder", "--modality", "imu", "--ckpt", run, "--format", "onnx", "--out", out, cwd=tmp_path)
    assert "encoder.onnx differs from torch by at most " in said.stdout
    assert " on 5 windows of the validation subjects\n" in said.stdout
    assert said.stderr == ""
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(out / "encoder.onnx", alone)
    imu_BLC = 3 * torch.randn(7, 120, 6, generator=torch.Generator().manual_seed(0))
    features_BD, embedding_BD = outputs_alone(alone, imu_BLC)
    encoder = load_encoder(out)
    with torch.no_grad():
        torch.testing.assert_close(features_BD, encoder(imu_BLC), rtol=0, atol=1e-5)
        torch.testing.assert_close(embedding_BD, encoder.embed(imu_BLC), rtol=0, atol=1e-5)
    about = {entry.key: entry.value for entry in onnx.load(out / "encoder.onnx").metadata_props}
    assert about["modality"] == "imu"
    assert about["rate"] == "60.0"
    assert about["channels"].startswith('["acc_Pelvis_x", "acc_Pelvis_y"')
    assert about["subjects"] == '{"train": ["Subject01", "Subject02"], "val": ["Subject08"]}'
    assert "`encoder.onnx`" in (out / "README.md").read_text()
    assert encoder.description.onnx is not None
    assert encoder.description.onnx.difference < 1e-5


@pytest.mark.long
def test_the_video_encoder_is_written_in_the_same_way(run: Path, tmp_path: Path) -> None:
    export_encoder("video", run, format="onnx", out=tmp_path)
    video_BTHWC = torch.randint(256, (3, 4, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    features_BD, embedding_BD = outputs_alone(tmp_path, video_BTHWC)
    encoder = load_encoder(tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(features_BD, encoder(video_BTHWC), rtol=0, atol=1e-4)
        torch.testing.assert_close(embedding_BD, encoder.embed(video_BTHWC), rtol=0, atol=1e-4)


class Mean(nn.Module):
    """Averages of the channels; in an ONNX file, they differ from torch's by `off`."""

    def __init__(self, off: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))
        self.off = off

    def forward(self, imu_BLC: Tensor) -> Tensor:
        return (imu_BLC * self.weight).mean(dim=1) + (self.off if torch.compiler.is_exporting() else 0.0)


class Counted(Mean):
    """Like `Mean`, but for a fixed batch size only."""

    def forward(self, imu_BLC: Tensor) -> Tensor:
        return super().forward(imu_BLC).reshape(len(imu_BLC), 3)


def averaging(off: float, mean: float = 0.0) -> PretrainedImuEncoder:
    spec = ImuSpec(("acc_x", "acc_y", "acc_z"), ("m/s^2",) * 3, rate=60.0, window=0.5, mean=(mean,) * 3, std=(2.0,) * 3)
    origin = Origin(experiment="e", checkpoint="best.ckpt", subjects={"train": ("01",)}, versions={})
    description = EncoderDescription(modality="imu", encoder=DeepConvLSTM(), embed_dim=3, imu=spec, origin=origin)
    torch.manual_seed(0)  # a projection that is all but zero would blow rounding up
    encoder = PretrainedImuEncoder(description, spec, Mean(off))
    return encoder.eval()


@pytest.mark.long
@pytest.mark.parametrize(
    "kind",
    [
        SpectralAttention(width=8),
        AnySensor(width=8),
        StackedConvGRU(width=8, hidden=3),
        AttentionPooled(),
        PatchTransformer(width=8, heads=2),
        GRUOverMaps(width=8, kernels=(5, 3, 3), last_pooling="mean", hidden=3),
    ],
    ids=lambda kind: type(kind).__name__,
)
def test_wavelets_recurrence_and_attention_are_written_too(kind: ImuEncoder, tmp_path: Path) -> None:
    plain = averaging(off=0, mean=5.0)
    spec = ImuSpec(tuple(f"{kind}_Head_{axis}" for kind in ("acc", "gyro") for axis in "xyz"), ("",) * 6, 60.0, 2.0)
    description = plain.description.model_copy(update={"encoder": kind, "embed_dim": 3, "imu": spec})
    encoder = PretrainedImuEncoder(description, spec, kind.build(spec, 3)).eval()
    drawn = torch.randn(3, 120, 6, generator=torch.Generator().manual_seed(0))
    assert write_onnx(tmp_path / "encoder.onnx", encoder, CheckWindows({"imu": drawn}, "3 windows")).difference < 1e-5


def windows(scale: float = 1.0) -> CheckWindows:
    drawn = scale * torch.randn(3, 30, 3, generator=torch.Generator().manual_seed(0))
    return CheckWindows({"imu": drawn}, "3 windows")


@pytest.mark.long
def test_a_file_that_gives_other_numbers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"encoder\.onnx was not written: .* torch's by 0\.\d+ on 3 windows"):
        write_onnx(tmp_path / "encoder.onnx", averaging(off=1e-2), windows())
    assert list(tmp_path.iterdir()) == []
    counted = averaging(off=0)
    counted.encoder = Counted(off=0)
    with pytest.raises(ConfigError, match=r"for batches of any size: its code treats the batch size as a constant"):
        write_onnx(tmp_path / "encoder.onnx", counted, windows())
    check = write_onnx(tmp_path / "encoder.onnx", averaging(off=0, mean=5.0), windows())
    assert check.difference < 1e-5


@pytest.mark.long
def test_without_the_dataset_windows_are_random_and_the_card_says_so(
    run: Path, distinct: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gone = shutil.move(distinct, tmp_path / "gone")
    try:
        export = export_encoder("imu", run, format="onnx")
    finally:
        shutil.move(gone, distinct)
    assert export.description.onnx is not None
    assert export.description.onnx.windows == "8 random windows, because the dataset was not available"
    assert f"using random windows, because the dataset cannot be read: {distinct}" in caplog.text


def test_without_the_packages_the_command_to_install_them_is_named(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match=r"requires onnxruntime: pip install 'revalexo-clip\[onnx\]'"):
        export_encoder("imu", run, format="onnx")
    assert not (run / "export").exists()


@pytest.mark.long
def test_the_lines_of_the_page_that_use_onnxruntime_alone(tmp_path: Path) -> None:
    page = Page(ROOT / "docs" / "export.md")
    (lines,) = (block for block in page.blocks("python") if "InferenceSession" in block)
    encoder = averaging(off=0)
    write_onnx(tmp_path / "encoder.onnx", encoder, windows())
    taken = torch.randn(7, 30, 3, generator=torch.Generator().manual_seed(1))
    np.save(tmp_path / "windows.npy", taken.double().numpy())  # as numpy makes them
    closed = "import sys; sys.modules['torch'] = sys.modules['revalexo_clip'] = None\n"
    keep = "np.save('embedding.npy', embedding)\n"
    command = [sys.executable, "-c", closed + lines + keep]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert said.endswith("(7, 3)\n")
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(np.load(tmp_path / "embedding.npy")), encoder.embed(taken))
