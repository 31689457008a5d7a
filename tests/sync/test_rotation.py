"""The lag between a gyroscope and the rotation of the picture, on simulated heads and against a plain search."""

from __future__ import annotations

import numpy as np
import pytest
from support import turning
from support.turning import Floats

from revalexo_clip.sync.axes import LOOSE, camera_axes
from revalexo_clip.sync.refine import refine
from revalexo_clip.sync.result import Sync
from revalexo_clip.sync.rotation import Rotations, lag_from_rotation
from revalexo_clip.sync.search import blocks_of, evidence, shifts, sums_by_shift
from revalexo_clip.sync.series import Gyroscope, PictureRotation, picture_rotation


def found_of(recording: tuple[Rotations, Gyroscope], **options: object) -> Sync:
    rotations, gyroscope = recording
    return lag_from_rotation("a/0001", {"a/0001": 6.0}, rotations, gyroscope, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("lag", [-0.5, 0.0, 0.123])
def test_a_lag_is_found_to_a_fraction_of_a_frame(lag: float) -> None:
    found = found_of(turning.recording(12.0, lag=lag, seed=int(100 * lag) + 60))
    assert found.lag is not None, found.why
    assert found.lag.value == pytest.approx(lag, abs=0.002)
    low, high = found.lag.interval
    assert low < lag < high
    assert found.verdict == ("in time" if lag == 0 else "off")


def test_axes_and_field_of_view_of_the_camera_are_found() -> None:
    found = found_of(turning.recording(12.0, seed=3))
    assert found.facts["field_of_view_deg"] == pytest.approx(80.0, abs=2.0)
    assert np.allclose(np.array(found.facts["camera_from_sensor"]), turning.SENSOR, atol=0.05)
    assert found.facts["left_handed"] is False


def test_axes_with_a_wrong_sign_are_found_out() -> None:
    focal = 0.5 / np.tan(turning.FIELD / 2)
    to_picture_33 = np.array([[0.0, -focal, 0.0], [focal, 0.0, 0.0], [0.0, 0.0, -1.0]]) @ turning.SENSOR
    assert camera_axes(to_picture_33, np.eye(3)).notes() == ()
    wrong = camera_axes(to_picture_33 @ np.diag([1.0, -1.0, 1.0]), np.diag([0.1, 0.2, 0.3]))
    assert wrong.mirrored
    assert "left-handed" in wrong.notes()[0]
    only_one_axis = camera_axes(to_picture_33 @ np.diag([1.0, -1.0, 1.0]), np.diag([0.3, 0.0, 0.0]))
    assert not only_one_axis.mirrored, "turns around one axis tell nothing of the others"
    assert camera_axes(0.3 * to_picture_33, np.eye(3)).misfit > LOOSE, "a stabiliser takes most of all turns away"


def test_a_rolling_shutter_is_measured_and_the_lag_is_that_of_its_line() -> None:
    found = found_of(turning.recording(20.0, lag=0.1, readout=0.02, seed=5), line="last")
    read, middle = found.facts["readout"], found.facts["lag_of_the_middle_line"]
    assert isinstance(read, float)
    assert isinstance(middle, float)
    assert found.lag is not None
    assert (read, middle) == pytest.approx((0.02, 0.1), abs=0.002)
    assert found.lag.value == pytest.approx(middle - read / 2)
    assert found.lag.value == pytest.approx(0.09, abs=0.002)
    assert "The shutter is rolling: the last line is taken" in found.notes[0]


@pytest.mark.parametrize("seed", range(4))
def test_a_gyroscope_of_another_head_gives_no_lag(seed: int) -> None:
    """A stabilised video, too, moves by itself and not with the gyroscope."""
    found = found_of(turning.recording(12.0, other=True, seed=seed))
    assert (found.lag, found.verdict, found.off) == (None, "cannot tell", False)
    assert "does not follow the gyroscope at any lag" in found.why


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2))
def test_steps_of_one_pace_are_told_apart(seed: int) -> None:
    """Everybody's head turns with the steps: that of another person agrees at many lags, one's own at one."""
    rotations = turning.rotations(turning.track(turning.walking(12.0, seed=seed), turning.frames(12.0)))
    own, others = (turning.rows(turning.walking(12.0, seed=one), 12.0, lag=0.3) for one in (seed, seed + 500))
    found = found_of((rotations, Gyroscope([own])))
    assert found.lag is not None, found.why
    assert found.lag.value == pytest.approx(0.3, abs=0.003)
    assert found_of((rotations, Gyroscope([others]))).verdict == "cannot tell"


def test_a_camera_that_stands_still_gives_no_lag() -> None:
    found = found_of(turning.recording(12.0, size=0.001))
    assert found.verdict == "cannot tell"
    assert found.why.startswith("the camera stands still")


def test_a_single_turn_is_not_enough() -> None:
    """Two unrelated turns always agree at some lag."""
    head = turning.turns(12.0, size=0.5)
    once_n = np.exp(-(((head.time_n - 6.0) / 0.3) ** 2))[:, None]
    rate_n3 = np.diff(head.angle_n3, axis=0, prepend=0) * once_n
    head = turning.Turns(head.time_n, np.cumsum(rate_n3, axis=0))
    rotations = turning.rotations(turning.track(head, turning.frames(12.0)))
    found = found_of((rotations, Gyroscope([turning.rows(head, 12.0, lag=0.2)])))
    assert found.verdict == "cannot tell"


def test_a_video_of_two_seconds_is_too_short() -> None:
    found = found_of(turning.recording(2.0))
    assert "less than 3 s" in found.why


@pytest.mark.long
def test_the_drift_of_ten_minutes_is_found() -> None:
    drift, lag = -150e-6, 0.05
    head = turning.turns(600.0, seed=8)
    rotations = turning.rotations(turning.track(head, turning.frames(600.0, rate=10.0), noise=0.02))
    found = found_of((rotations, Gyroscope([turning.rows(head, 600.0, lag=lag, drift=drift)])), line="middle")
    assert found.lag is not None, found.why
    assert found.drift is not None
    assert found.drift.rate.value == pytest.approx(drift, abs=2e-6)
    assert found.drift.rate.within < 5e-6
    assert found.lag.value == pytest.approx(lag, abs=0.002)
    assert found.lag_at(0.0) == pytest.approx(lag - 300 * drift, abs=0.003)
    assert found.off


def test_a_drift_alone_is_off_at_the_ends() -> None:
    from revalexo_clip.sync.result import Drift, Estimate

    def sync(rate: float, within: float = 0.002) -> Sync:
        drift = Drift(Estimate(rate, 1e-6), 600.0)
        return Sync("a", {"a": 300.0}, "rotation", 1 / 30, Estimate(0.001, within), at=300.0, drift=drift)

    assert sync(100e-6).verdict == "off"
    assert sync(40e-6).verdict == "in time"
    assert sync(40e-6, within=0.05).verdict == "cannot tell"
    assert sync(40e-6, within=0.05).reason == "the lag may be anything from -49 to 51 ms"


def plain_evidence(picture: PictureRotation, time_n: Floats, rate_n3: Floats, shift: float) -> float:
    """Wilks' lambda of a linear map, pair by pair, from means of many values in between."""
    rows, rotation = [], []
    for begin, end, part_3 in zip(picture.begin_P, picture.end_P, picture.rate_P3, strict=True):
        if begin - shift < time_n[0] or end - shift > time_n[-1]:
            continue
        inside = begin + (np.arange(50) + 0.5) / 50 * (end - begin) - shift
        means = [float(np.interp(inside, time_n, axis_n).mean()) for axis_n in rate_n3.T]
        rows.append([*means, 1.0])
        rotation.append(part_3)
    design, target = np.array(rows), np.array(rotation)
    left = target - design @ np.linalg.lstsq(design, target, rcond=None)[0]
    around = target - target.mean(axis=0)
    ratio = np.linalg.det(left.T @ left) / np.linalg.det(around.T @ around)
    return float(-np.log(ratio)) * len(rows) / len(picture.begin_P)


def test_evidence_and_lag_are_those_of_a_plain_search() -> None:
    head = turning.turns(5.0, seed=2)
    measured = turning.track(head, turning.frames(5.0), noise=0.05)
    picture = picture_rotation(measured, turning.ASPECT)
    picture = PictureRotation(picture.begin_P, picture.end_P, picture.rate_P3, np.ones(len(picture.begin_P)))
    time_n, rate_n3 = turning.rows(head, 5.0, lag=0.08)
    gyroscope, blocks, shift_S = Gyroscope([(time_n, rate_n3)]), blocks_of(picture), shifts(0.1)
    fast_S = evidence(sums_by_shift(picture, gyroscope, blocks, shift_S).sum(axis=1), float(len(picture.begin_P)))
    plain_S = [plain_evidence(picture, time_n, rate_n3, shift) for shift in shift_S]
    assert fast_S == pytest.approx(plain_S, rel=1e-3)
    fine = np.arange(0.075, 0.0855, 0.001)
    best = fine[np.argmax([plain_evidence(picture, time_n, rate_n3, shift) for shift in fine])]
    refined = refine(picture, gyroscope, blocks, float(shift_S[fast_S.argmax()]), 0.0, with_drift=False)
    assert refined is not None
    assert refined.lag == pytest.approx(best, abs=0.0015)


def test_intervals_hold_the_lag_as_often_as_they_say() -> None:
    held, widths = 0, []
    for seed in range(30):
        head = turning.turns(10.0, size=0.2, seed=seed)
        measured = turning.track(head, turning.frames(10.0, seed=seed), noise=0.15, seed=seed)
        picture = picture_rotation(measured, turning.ASPECT)
        gyroscope = Gyroscope([turning.rows(head, 10.0, lag=0.05, seed=seed)])
        refined = refine(picture, gyroscope, blocks_of(picture), 0.05, 0.0, with_drift=False)
        assert refined is not None
        held += abs(refined.lag - 0.05) <= refined.lag_within
        widths.append(refined.lag_within)
    assert held >= 25
    assert 0.001 < np.median(widths) < 0.02


def test_the_picture_is_measured_although_cells_move_by_themselves() -> None:
    head, edge_E = turning.turns(5.0), turning.frames(5.0)
    clean = picture_rotation(turning.track(head, edge_E, noise=0.0), turning.ASPECT).rate_P3
    track = turning.track(head, edge_E, noise=0.0)
    track.value_PYX3[:, :2, 0, :2] += np.float32(1.5)  # a hand at the left
    off_P3 = np.abs(picture_rotation(track, turning.ASPECT).rate_P3 - clean)
    assert np.quantile(off_P3, 0.9) < 0.05, "most cells agree, although another tenth of them moves at random"
    track.value_PYX3[10, ..., 2] = 0
    assert picture_rotation(track, turning.ASPECT).weight_P[10] == 0, "nothing is seen"
