"""From a recording's file to embeddings: the same as through a dataset, and one sentence if it is not possible."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import save_file
from support.made_gopro import Camera, write_gopro
from support.tiny_dataset import real_dataset
from typer.testing import CliRunner

from revalexo_clip import embed_recording
from revalexo_clip.cli.app import app
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.types import ImuSpec
from revalexo_clip.data.imu import header_of, read_imu
from revalexo_clip.devices.base import channels_of
from revalexo_clip.devices.importing import import_recording
from revalexo_clip.devices.plan import ImportOptions
from revalexo_clip.export import DESCRIPTION, WEIGHTS, EncoderDescription, Origin, PretrainedImuEncoder, build_encoder
from revalexo_clip.export.embedding import RecordingEmbeddings, write_embeddings
from revalexo_clip.export.loading import weights_metadata
from revalexo_clip.models.encoders import ResNet1D

RATE, WINDOW, STRIDE = 50.0, 1.0, 0.3
ORIGIN = Origin(experiment="Made", checkpoint="made.ckpt", subjects=None, versions={})


def write_encoder(folder: Path, place: str = "Head", **changed: object) -> Path:
    """Write the folder of an encoder with new weights."""
    units = ("m/s^2",) * 3 + ("rad/s",) * 3
    spec = ImuSpec(channels=channels_of(place), units=units, rate=RATE, window=WINDOW, mean=(0.0,) * 6, std=(3.0,) * 6)
    description = EncoderDescription(
        modality="imu",
        encoder=ResNet1D(),
        embed_dim=16,
        imu=replace(spec, **{key: value for key, value in changed.items() if key != "projection"}),  # type: ignore[arg-type]
        projection=bool(changed.get("projection", True)),
        origin=ORIGIN,
    )
    folder.mkdir()
    torch.manual_seed(0)
    save_file(build_encoder(description).state_dict(), folder / WEIGHTS, metadata=weights_metadata(description))
    (folder / DESCRIPTION).write_text(description.model_dump_json())
    return folder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("encoders") / "imu")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GoPro's recording of 4 s, whose sensors start late."""
    path = tmp_path_factory.mktemp("gopro") / "GX010007.MP4"
    write_gopro(path, Camera(first=0.25))
    return path


def through_a_dataset(source: Path, encoder: Path, root: Path) -> tuple[npt.NDArray[np.float64], torch.Tensor]:
    """Import a recording, and embed the windows of the dataset: their starts in the recording [s], and vectors."""
    from revalexo_clip import load_encoder

    plan = import_recording(source, "Anna", root, ImportOptions(rate=RATE))
    module = load_encoder(encoder)
    starts, windows = [], []
    for clip in plan.clips:
        file = root / "imu" / "Anna" / f"{clip.name}.csv"
        rows_MC = read_imu(file, channels_of("Head"))
        for number in range(int((len(rows_MC) / RATE - WINDOW) / STRIDE + 1e-6) + 1):
            first = round(number * STRIDE * RATE)
            starts.append(clip.start + number * STRIDE)
            windows.append(torch.from_numpy(rows_MC[first : first + round(RATE * WINDOW)]))
    assert isinstance(module, PretrainedImuEncoder)
    with torch.no_grad():
        return np.array(starts), module.embed(torch.stack(windows))


def test_a_gopro_gives_what_it_gives_through_a_dataset(video: Path, encoder: Path, tmp_path: Path) -> None:
    start_N, vector_ND = through_a_dataset(video, encoder, tmp_path / "own")
    found = embed_recording(video, encoder, stride=STRIDE, batch=3)
    np.testing.assert_allclose(found.start_N, start_N, atol=1e-9)
    torch.testing.assert_close(torch.from_numpy(found.vector_ND), vector_ND, rtol=0, atol=1e-5)
    assert len(start_N) > 5
    assert any("is not in the other streams, and is cut" in note for note in found.notes)
    csv = tmp_path / "own" / "imu" / "Anna" / "0001.csv"
    assert header_of(csv)[0] == "time"
    again = embed_recording(csv, encoder, stride=STRIDE)
    np.testing.assert_allclose(again.vector_ND, found.vector_ND, rtol=0, atol=1e-5)
    np.testing.assert_allclose(again.start_N + start_N[0], start_N, atol=1e-6)


def test_real_recordings_give_what_the_dataset_gives(encoder: Path, tmp_path: Path) -> None:
    source = real_dataset().parent / "raw" / "gopro_max.mp4"
    start_N, vector_ND = through_a_dataset(source, encoder, tmp_path / "own")
    found = embed_recording(source, encoder, stride=STRIDE)
    np.testing.assert_allclose(found.start_N, start_N, atol=1e-9)
    torch.testing.assert_close(torch.from_numpy(found.vector_ND), vector_ND, rtol=0, atol=1e-5)


def signals(seconds: float = 5.0, rate: float = RATE) -> npt.NDArray[np.float64]:
    """Time, and six channels [n, 7]."""
    time_n = np.arange(round(seconds * rate)) / rate
    columns = [np.sin((1 + place) * time_n) + (9.81 if place == 2 else 0) for place in range(6)]
    return np.stack([time_n, *columns], axis=1)


def write_table(path: Path, table_n7: npt.NDArray[np.float64], place: str = "Head") -> Path:
    names = ",".join(["time", *channels_of(place)])
    np.savetxt(path, table_n7, delimiter=",", header=names, comments="", fmt="%.9f")
    return path


def test_tables_give_the_same_in_every_form(encoder: Path, tmp_path: Path) -> None:
    table_n7 = signals()
    by_time = embed_recording(write_table(tmp_path / "a.csv", table_n7), encoder)
    assert by_time.start_N.tolist() == pytest.approx([0.5 * number for number in range(9)])
    by_rate = embed_recording(tmp_path / "a.csv", encoder, rate=RATE)
    scaled_n7 = table_n7 / np.array([1e-3, *[9.80665] * 3, *[np.pi / 180] * 3])
    write_table(tmp_path / "ms.csv", scaled_n7, "Wrist")
    units = {"acc": "g", "gyro": "deg/s"}
    in_g = embed_recording(tmp_path / "ms.csv", encoder, time_unit="ms", units=units, place="Wrist")  # type: ignore[arg-type]
    arrays = {"channels": list(channels_of("Head")), "fs": RATE, "offsets": [0, 100, 350]}
    np.savez(tmp_path / "a.npz", data=np.concatenate([table_n7[:100], table_n7])[:, 1:], **arrays)  # type: ignore[arg-type]
    from_npz = embed_recording(tmp_path / "a.npz", encoder, recording=1)
    np.savez(tmp_path / "t.npz", data=table_n7[:, 1:], channels=channels_of("Head"), time=table_n7[:, 0] + 7)
    timed = embed_recording(tmp_path / "t.npz", encoder)
    names = (tmp_path / "a.csv").read_text().replace("_Head_", "_")
    (tmp_path / "plain.csv").write_text(names)
    for other in (by_rate, in_g, from_npz, timed, embed_recording(tmp_path / "plain.csv", encoder)):
        np.testing.assert_allclose(other.vector_ND, by_time.vector_ND, rtol=0, atol=1e-4)
    assert timed.start_N[0] == 7.0


def test_windows_do_not_reach_over_gaps(encoder: Path, tmp_path: Path) -> None:
    table_n7 = signals(6.0)
    kept = np.concatenate([table_n7[:120], table_n7[200:210], table_n7[240:]])
    found = embed_recording(write_table(tmp_path / "gaps.csv", kept), encoder, stride=1.0)
    assert found.start_N.tolist() == pytest.approx([0.0, 1.0, 4.8])
    assert found.notes[1] == "1 piece shorter than a window (1 s) left out"


def test_values_are_converted_to_the_units_of_the_encoder(encoder: Path, tmp_path: Path) -> None:
    scale = (9.80665,) * 3 + (np.pi / 180,) * 3
    in_g = write_encoder(tmp_path / "g", units=("g",) * 3 + ("deg/s",) * 3, std=tuple(3.0 / one for one in scale))
    path = write_table(tmp_path / "a.csv", signals())
    expected = embed_recording(path, encoder).vector_ND
    np.testing.assert_allclose(embed_recording(path, in_g).vector_ND, expected, rtol=0, atol=1e-5)


@pytest.mark.long
def test_what_cannot_be_embedded_is_one_sentence(video: Path, encoder: Path, tmp_path: Path) -> None:
    pelvis = write_encoder(tmp_path / "pelvis", "Pelvis")
    with pytest.raises(DataError, match=r"lacks acc_Pelvis_x.*pass --place Head"):
        embed_recording(video, pelvis)
    assert len(embed_recording(video, pelvis, place="Head").start_N) > 3
    alone = write_encoder(tmp_path / "alone", projection=False)
    with pytest.raises(ConfigError, match="--features"):
        embed_recording(video, alone)
    assert embed_recording(video, alone, features=True).vector_ND.shape[1] == 256
    path = write_table(tmp_path / "a.csv", signals())
    with pytest.raises(DataError, match=r"short\.csv: is too short: 0\.6 s without a gap; a window lasts 1 s"):
        embed_recording(write_table(tmp_path / "short.csv", signals(0.6)), encoder)
    with pytest.raises(DataError, match=r"gravity is 1\.0., as in g"):
        embed_recording(write_table(tmp_path / "g.csv", signals() / [1, *[9.81] * 3, 1, 1, 1]), encoder)
    with pytest.raises(DataError, match=r"are these milliseconds\? pass --time-unit"):
        embed_recording(write_table(tmp_path / "ms.csv", signals() * [1000, *[1] * 6]), encoder)
    back = signals()
    back[40, 0] = 0.1
    with pytest.raises(DataError, match=r"back\.csv: column time: line 42: the clock goes back from 0\.78"):
        embed_recording(write_table(tmp_path / "back.csv", back), encoder)
    for options, message in (
        ({"rate": 50.0, "time": "time"}, "exclude each other"),
        ({"time": "clock"}, "no such column"),
        ({"axes": "up,left,back"}, "--axes cannot be used with a CSV file"),
        ({"recording": 1}, "--recording cannot be used"),
        ({"units": {"mag": "g"}}, "--units: no channel"),
        ({"stride": 0.0}, "--stride"),
    ):
        with pytest.raises(ConfigError, match=message):
            embed_recording(path, encoder, **options)
    with pytest.raises(ConfigError, match="is neither"):
        embed_recording(video, encoder, rate=50.0)
    with pytest.raises(DataError, match="no such file"):
        embed_recording(tmp_path / "none.mp4", encoder)
    np.savez(tmp_path / "no.npz", values=np.ones(3))
    with pytest.raises(DataError, match="lacks the array data and channels"):
        embed_recording(tmp_path / "no.npz", encoder)


def test_the_command_writes_times_and_embeddings_once(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_table(tmp_path / "walk.csv", signals())
    command = ["embed", "walk.csv", "--encoder", str(encoder), "--stride", "1"]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert "walk-embeddings.npz: embeddings of 5 windows, 16 numbers each, 0.000 to 5.000 s" in result.stdout
    with np.load("walk-embeddings.npz") as stored:
        assert stored["start"].tolist() == pytest.approx([0.0, 1.0, 2.0, 3.0, 4.0])
        assert stored["end"].tolist() == pytest.approx([1.0, 2.0, 3.0, 4.0, 5.0])
        np.testing.assert_allclose(np.linalg.norm(stored["embedding"], axis=1), 1, atol=1e-5)
    for name, message in (("walk-embeddings.npz", "exists already"), ("walk.txt", "must end in")):
        with pytest.raises(ConfigError, match=message):
            CliRunner().invoke(app, [*command, "--out", name], catch_exceptions=False)


def test_parquet_has_the_same_columns(encoder: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    found = embed_recording(write_table(tmp_path / "walk.csv", signals()), encoder)
    write_embeddings(found, tmp_path / "walk.parquet")
    table = import_module("pyarrow.parquet").read_table(tmp_path / "walk.parquet")
    assert table.column_names == ["start", "end", "embedding"]
    assert table["start"].to_pylist() == found.start_N.tolist()
    np.testing.assert_array_equal(np.array(table["embedding"].to_pylist(), np.float32), found.vector_ND)


def test_parquet_needs_pyarrow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    found = RecordingEmbeddings(np.zeros(1), np.zeros((1, 2), np.float32), 1.0)
    with pytest.raises(ConfigError, match=r"Parquet files need pyarrow: pip install pyarrow, or .*\.npz"):
        write_embeddings(found, tmp_path / "walk.parquet")
    assert list(tmp_path.iterdir()) == []
