"""Whole recordings through an exported encoder: any rate, named columns, windows as evaluation cuts them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch

import revalexo_clip
from revalexo_clip import load_encoder
from revalexo_clip.core.types import ImuSpec
from revalexo_clip.export import PretrainedImuEncoder
from revalexo_clip.export.folder import export_encoder
from revalexo_clip.export.sliding_windows import slide
from revalexo_clip.runs.checkpoint import load_checkpoint

CHANNELS = [f"acc_{part}_{axis}" for part in ("Pelvis", "Left_Foot") for axis in "xy"] + [
    "gyro_Pelvis_x",
    "gyro_Pelvis_y",
]


@pytest.fixture
def encoder(run: Path) -> PretrainedImuEncoder:
    encoder = load_encoder(export_encoder("imu", run).files[0].parent)
    assert isinstance(encoder, PretrainedImuEncoder)
    return encoder


def frame(rate: float = 60.0, seconds: float = 5.0, start: float = 0.0) -> pd.DataFrame:
    """A recording of slow oscillations, one per channel, with columns in another order and a time column."""
    time_n = start + np.arange(round(rate * seconds)) / rate
    columns = {name: np.sin((1 + place) * (time_n - start)) for place, name in enumerate(CHANNELS)}
    return pd.DataFrame({"time": time_n, **dict(reversed(columns.items()))})


@pytest.mark.long
def test_a_csv_read_by_pandas_gives_the_windows_of_evaluation(
    encoder: PretrainedImuEncoder, run: Path, distinct: Path
) -> None:
    dataset = load_checkpoint(run / "checkpoints" / "best.ckpt").description.experiment.data.build("val", seed=0)
    samples = [dataset[0, index] for index in range(len(dataset))]
    recording = encoder.embed_recording(pd.read_csv(distinct / "Subject08" / "0000.csv"), rate=60.0, stride=0.5)
    assert recording.start_N.tolist() == [float(sample.start) for sample in samples]
    with torch.no_grad():
        expected_ND = encoder.embed(torch.stack([sample.imu_LC for sample in samples]))
    torch.testing.assert_close(recording.vector_ND, expected_ND, rtol=0, atol=1e-6)
    assert len(recording.start_N) == 5


@pytest.mark.long
def test_a_recording_at_another_rate_gives_nearly_the_same(encoder: PretrainedImuEncoder) -> None:
    at_60 = encoder.recording_features(frame(), rate=60.0)
    at_198 = encoder.recording_features(frame(198.45), rate=198.45)
    assert torch.equal(at_198.start_N, at_60.start_N)
    spread = at_60.vector_ND.std(dim=0).max()
    inner = slice(1, -1)  # the ends of a recording are felt by its first and last window
    assert (at_198.vector_ND[inner] - at_60.vector_ND[inner]).abs().max() < 0.01 * spread


@pytest.mark.long
def test_a_clock_gives_the_rate_and_the_times(encoder: PretrainedImuEncoder) -> None:
    by_rate = encoder.embed_recording(frame(100.0), rate=100.0, stride=0.7)
    by_time = encoder.embed_recording(frame(100.0, start=1.7e9), time="time", stride=0.7)
    assert by_time.start_N.tolist() == pytest.approx([1.7e9 + 0.7 * number for number in range(5)])
    assert by_rate.start_N.tolist() == pytest.approx([0.7 * number for number in range(5)])
    torch.testing.assert_close(by_time.vector_ND, by_rate.vector_ND, rtol=0, atol=1e-4)


@pytest.mark.long
def test_neither_the_form_nor_the_batch_matters(encoder: PretrainedImuEncoder) -> None:
    named = encoder.embed_recording(frame(), rate=60.0)
    array = encoder.embed_recording(frame()[CHANNELS].to_numpy(), rate=60.0, batch=2)
    mapping = encoder.embed_recording({name: frame()[name].tolist() for name in CHANNELS}, rate=60.0, batch=1)
    torch.testing.assert_close(array, named, rtol=0, atol=1e-6)
    torch.testing.assert_close(mapping, named, rtol=0, atol=1e-6)
    assert named.vector_ND.shape == (7, 16)
    assert not named.vector_ND.requires_grad


@pytest.mark.long
def test_features_and_embeddings_belong_together(encoder: PretrainedImuEncoder) -> None:
    features = encoder.recording_features(frame(), rate=60.0)
    embeddings = encoder.embed_recording(frame(), rate=60.0)
    torch.testing.assert_close(encoder.project(features.vector_ND).detach(), embeddings.vector_ND)


@pytest.mark.long
@pytest.mark.parametrize(
    ("recording", "sampled", "says"),
    [
        (frame(), {}, r"pass either the sampling rate .*; the recording has a column time$"),
        (frame(), {"rate": 60.0, "time": "time"}, "pass either the sampling rate"),
        (frame(), {"time": "clock"}, "no column clock; the recording has a column time"),
        (frame(), {"rate": 20.0}, "use recordings at 30 Hz or more"),
        (frame(seconds=1.5), {"rate": 60.0}, "the recording is too short: 1.5 s; a window lasts 2 s"),
        (frame(), {"rate": 60.0, "stride": 0.0}, "stride must be above 0 s, not 0"),
        (
            frame().rename(columns={"acc_Pelvis_x": "acc_x"}),
            {"rate": 60.0},
            r"channels missing: acc_Pelvis_x \(did you mean .*\); given: time, gyro_Pelvis_y.* and 1 more",
        ),
        (
            frame().assign(gyro_Pelvis_x=lambda columns: columns["gyro_Pelvis_x"].where(columns["time"] < 4)),
            {"rate": 60.0},
            r"NaN or infinite values: gyro_Pelvis_x \(60 values, the first in row 240\)",
        ),
        (frame().drop(index=range(100, 130)), {"time": "time"}, "no sample between 1.650 s and 2.167 s"),
        (
            frame().assign(time=lambda columns: pd.to_datetime(columns["time"], unit="s")),
            {"time": "time"},
            "column time has type datetime64",
        ),
        (np.zeros((300, 5)), {"rate": 60.0}, r"a recording must be an array \[n, 6\] .* this is an array \[300, 5\]"),
        (np.zeros((300, 6)), {"time": "time"}, "an array has no columns"),
        ({name: np.zeros((2, 300)) for name in CHANNELS}, {"rate": 60.0}, r"acc_Pelvis_x is \[2, 300\]"),
    ],
)
def test_a_recording_that_will_not_do_is_an_error_that_says_what_is_missing(
    encoder: PretrainedImuEncoder, recording: pd.DataFrame, sampled: dict[str, float], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        encoder.embed_recording(recording, **sampled)  # type: ignore[arg-type]  # a rate or a name


def test_a_tensor_is_taken_as_an_array_is(encoder: PretrainedImuEncoder) -> None:
    array = frame()[CHANNELS].to_numpy(np.float32)
    expected = encoder.embed_recording(array, rate=60.0)
    for tensor in (torch.tensor(array), torch.tensor(array, requires_grad=True), torch.tensor(array).double()):
        torch.testing.assert_close(encoder.embed_recording(tensor, rate=60.0), expected, rtol=0, atol=1e-6)
        columns = {name: tensor[:, place] for place, name in enumerate(CHANNELS)}
        torch.testing.assert_close(encoder.embed_recording(columns, rate=60.0), expected, rtol=0, atol=1e-6)
    assert encoder.embed_recording(torch.tensor(array).bfloat16(), rate=60.0).vector_ND.shape == (7, 16)
    with pytest.raises(ValueError, match=r"an array \[n, 6\] .* this is an array \[2, 300, 6\]"):
        encoder.embed_recording(torch.zeros(2, 300, 6), rate=60.0)


@pytest.mark.long
@pytest.mark.parametrize("recording", [[[0.0] * 6] * 300, "recording.csv", None, 3.0])
def test_what_is_no_recording_is_a_type_error(encoder: PretrainedImuEncoder, recording: object) -> None:
    with pytest.raises(TypeError, match=f"a recording must be named columns, .* not {type(recording).__name__}"):
        encoder.embed_recording(recording, rate=60.0)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.long
@pytest.mark.parametrize(
    ("recording", "arguments", "says"),
    [
        (np.zeros((300, 6)), {"batch": 0}, "batch must be 1 window or more, not 0"),
        (np.zeros((300, 6)), {"stride": float("nan")}, "stride must be above 0 s, not nan"),
        (np.full((300, 6), "slow"), {}, "the array has type <U4, which is no number"),
        (np.full((300, 6), {}), {}, "the array has type object, which is no number"),
        ({name: [{}] * 300 for name in CHANNELS}, {}, "channel acc_Pelvis_x: "),
    ],
)
def test_no_argument_ends_in_an_error_of_a_library(
    encoder: PretrainedImuEncoder, recording: npt.NDArray[np.generic], arguments: dict[str, float], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        encoder.embed_recording(recording, rate=60.0, **arguments)  # type: ignore[arg-type]


TRIADS = tuple(f"{kind}_Pelvis_{axis}" for kind in ("acc", "gyro") for axis in "xyz")


def walking(acceleration: float, turning: float) -> npt.NDArray[np.float32]:
    """Ten seconds of a swaying sensor with gravity [m/s^2] and angular velocity [rad/s], both in multiples."""
    time_n = np.arange(600) / 60
    columns = [np.sin(time_n + place) for place in range(3)] + [2 * np.sin(5 * time_n + place) for place in range(3)]
    samples_nC = np.stack(columns, axis=1)
    samples_nC[:, 2] += 9.81
    return (samples_nC * ([acceleration] * 3 + [turning] * 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("acceleration", "turning", "says"),
    [
        (1 / 9.80665, 1.0, "acc_Pelvis: gravity is 0.98, as in g; .* multiply g by 9.80665"),
        (1.0, 180 / np.pi, "gyro_Pelvis: .* as in deg/s; rad/s is expected"),
        (1000 / 9.80665, 1.0, "acc_Pelvis: .* too large for m/s"),
    ],
)
def test_recordings_in_other_units_are_refused(acceleration: float, turning: float, says: str) -> None:
    units = ("m/s^2",) * 3 + ("rad/s",) * 3
    spec = ImuSpec(TRIADS, units, rate=60.0, window=2.0)
    assert len(slide(walking(1.0, 1.0), spec, rate=60.0, time=None, stride=0.5).start_N) == 17
    with pytest.raises(ValueError, match=says):
        slide(walking(acceleration, turning), spec, rate=60.0, time=None, stride=0.5)
    in_g = replace(spec, units=("g",) * 3 + ("deg/s",) * 3)  # an encoder that was trained on such recordings
    assert len(slide(walking(acceleration, turning), in_g, rate=60.0, time=None, stride=0.5).start_N) == 17


ELSEWHERE = """
import sys
import pandas as pd
from revalexo_clip import load_encoder

encoder = load_encoder("encoder")
given = [name for name in pd.read_csv(sys.argv[1], nrows=0) if name != "time"]
recording = pd.read_csv(sys.argv[1]).rename(columns=dict(zip(given, encoder.spec.channels)))[2:]
features = encoder.recording_features(recording, time="time")
print(len(features.start_N), float(features.start_N[0]), *features.vector_ND[3].tolist())
"""
"""What somebody who was sent the folder writes."""


@pytest.mark.long
def test_a_folder_that_was_sent_elsewhere_embeds_a_real_recording_at_its_own_rate(
    run: Path, real: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(export_encoder("imu", run).files[0].parent, elsewhere / "encoder")
    csv = real.parent / "gopro_hero7_imu.csv"
    finished = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, str(csv)],
        cwd=elsewhere,
        env={"PYTHONPATH": str(Path(revalexo_clip.__file__).parents[1]), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    count, start, *vector_D = map(float, finished.stdout.split())
    assert count == 18  # of 10.95 s, every 0.5 s as long as 2 s remain
    assert start == pytest.approx(4 / 60, abs=1e-3)
    # The same moments in the dataset, which others resampled to 60 Hz: its fifth row is that moment.
    encoder = load_encoder(elsewhere / "encoder")
    assert isinstance(encoder, PretrainedImuEncoder)
    at_60 = pd.read_csv(real / "imu" / "GoPro1" / "0001.csv").to_numpy()[4:]
    expected_ND = encoder.recording_features(at_60, rate=60.0).vector_ND
    distance_N = (expected_ND - torch.tensor(vector_D)).norm(dim=1)
    assert distance_N.argmin() == 3
    assert distance_N[3] < 0.1 * expected_ND.std(dim=0).norm()
