"""Streams: the same predictions as offline, whatever the sizes of chunks; input that is wrong is refused, not taken."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.made_classifier import HORIZONS, LABELS, RATE, made_classifier, signals

from revalexo_clip.data.imu import Samples
from revalexo_clip.export import ExportedClassifier
from revalexo_clip.export.predictions import Predictions
from revalexo_clip.export.sliding_windows import slide
from revalexo_clip.export.stream import PredictionStream

FORMS = [(rate, window) for rate in (50.0, 49.7) for window in (1, 0.73)]
CLASSIFIERS = {form: made_classifier(rate=form[0], window=form[1]) for form in FORMS}
"""By rate and window; a window of most of them has no whole number of samples."""


def pushed(stream: PredictionStream, samples_n6: np.ndarray, sizes: Sequence[int]) -> Predictions:
    """Push samples in chunks of these sizes, the last one with all that are left, and join the predictions."""
    edges = np.minimum(np.cumsum([0, *sizes]), len(samples_n6))
    chunks = np.split(samples_n6, edges[1:])
    found = [stream.push(chunk) for chunk in chunks]
    return Predictions(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def assert_same(one: Predictions, other: Predictions) -> None:
    np.testing.assert_allclose(one.end_N, other.end_N, rtol=0, atol=1e-9)
    np.testing.assert_allclose(one.probability_NKA, other.probability_NKA, rtol=0, atol=1e-5)
    assert (one.label_NK == other.label_NK).all()


def ends_of(windows_BLC: Samples) -> Samples:
    """Return three channels of the first and the last sample of each window, [B, 2, 3]."""
    return windows_BLC[:, [0, -1], :3]


@pytest.mark.long
@settings(max_examples=60)
@given(
    form=st.sampled_from(FORMS),
    samples=st.integers(60, 400),
    step=st.integers(1, 90),
    sizes=st.lists(st.integers(0, 200), max_size=30),
)
def test_predictions_are_those_of_the_recording(
    form: tuple[float, float], samples: int, step: int, sizes: list[int]
) -> None:
    classifier, rate = CLASSIFIERS[form], form[0]
    samples_n6 = signals(samples, rate)
    stride = step / rate
    offline = classifier.predict_recording(samples_n6, rate=rate, stride=stride)
    stream = classifier.stream(rate=rate, stride=stride)
    assert_same(pushed(stream, samples_n6, sizes), offline)
    assert stream.time == pytest.approx(samples / rate)
    assert len(offline.end_N) >= 1
    kept = PredictionStream(classifier.spec, LABELS, ends_of, horizons=2, rate=rate, stride=stride)
    windows = slide(samples_n6, classifier.spec, rate=rate, time=None, stride=stride)
    expected = np.concatenate([ends_of(windows_BLC) for windows_BLC in windows.batches(7)])
    np.testing.assert_array_equal(pushed(kept, samples_n6, sizes).probability_NKA, expected)


@pytest.fixture
def classifier() -> ExportedClassifier:
    return CLASSIFIERS[50.0, 1]


def test_a_prediction_comes_with_the_last_sample_of_its_window(classifier: ExportedClassifier) -> None:
    samples_n6 = signals(101)
    stream = classifier.stream(rate=RATE, stride=0.5, start=7.0)
    found = [stream.push(sample_6) for sample_6 in samples_n6]
    assert [number for number, one in enumerate(found, start=1) if len(one.end_N)] == [50, 75, 100]
    assert [end for one in found for end in one.end_N] == pytest.approx([8.0, 8.5, 9.0])
    assert found[0].probability_NKA.shape == (0, len(HORIZONS), len(LABELS))
    assert found[0].label_NK.shape == (0, len(HORIZONS))


def test_named_columns_in_any_order_are_taken(classifier: ExportedClassifier) -> None:
    samples_n6 = signals(80)
    names = classifier.spec.channels
    columns = {name: samples_n6[:, place] for place, name in reversed(list(enumerate(names)))}
    stream = classifier.stream(rate=RATE)
    assert_same(stream.push(columns), classifier.predict_recording(samples_n6, rate=RATE))
    one = stream.push({name: float(samples_n6[0, place]) for place, name in enumerate(names)})
    assert len(one.end_N) == 0
    assert stream.time == pytest.approx(81 / RATE)


def test_memory_does_not_grow(classifier: ExportedClassifier) -> None:
    stream = classifier.stream(rate=RATE, stride=0.02)
    before = {name: value.nbytes for name, value in vars(stream).items() if isinstance(value, np.ndarray)}
    stream.push(signals(3000))
    assert {name: value.nbytes for name, value in vars(stream).items() if isinstance(value, np.ndarray)} == before
    assert sum(before.values()) == 51 * 6 * 4


def test_what_is_wrong_is_refused_and_not_taken(classifier: ExportedClassifier) -> None:
    samples_n6 = signals(120)
    stream = classifier.stream(rate=RATE)
    stream.push(samples_n6[:40])
    broken_n6 = samples_n6[40:].copy()
    broken_n6[3, 1] = np.nan
    for wrong, message in (
        (broken_n6, r"NaN or infinite values: acc_Head_y \(1 value, the first in row 3\)"),
        (samples_n6[40:, :5], r"samples must be \[m, 6\].*not \[80, 5\]"),
        (samples_n6[None], r"samples must be \[m, 6\].*not \[1, 120, 6\]"),
        ({"acc_Head_x": samples_n6[:, 0]}, "channels missing: acc_Head_y"),
    ):
        with pytest.raises(ValueError, match=message):
            stream.push(wrong)
    with pytest.raises(TypeError, match="samples must be an array"):
        stream.push([1.0] * 6)  # type: ignore[arg-type]
    assert_same(stream.push(samples_n6[40:]), classifier.predict_recording(samples_n6, rate=RATE))


def test_another_rate_or_stride_is_refused(classifier: ExportedClassifier) -> None:
    with pytest.raises(ValueError, match=r"at the rate of the classifier, 50 Hz, not 100 Hz: .*resample"):
        classifier.stream(rate=100.0)
    for stride in (0.0, -1.0, 0.015, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="stride must be a whole number of samples"):
            classifier.stream(rate=RATE, stride=stride)
    with pytest.raises(ValueError, match="start must be a time"):
        classifier.stream(rate=RATE, start=float("nan"))


def test_other_units_are_noticed_in_the_first_window(classifier: ExportedClassifier) -> None:
    in_g_n6 = signals(120) / 9.80665
    stream = classifier.stream(rate=RATE)
    stream.push(in_g_n6[:30])
    with pytest.raises(ValueError, match=r"as in g; .*multiply g by 9"):
        stream.push(in_g_n6[30:])
    assert stream.time == pytest.approx(30 / RATE)
    assert len(classifier.stream(rate=RATE, check_units=False).push(in_g_n6).end_N) == 3


def test_after_a_reset_windows_do_not_reach_over_the_gap(classifier: ExportedClassifier) -> None:
    samples_n6 = signals(200)
    stream = classifier.stream(rate=RATE)
    stream.push(samples_n6[:90])
    stream.reset(start=20.0)
    found = stream.push(samples_n6[90:])
    offline = classifier.predict_recording(samples_n6[90:], rate=RATE)
    assert_same(found, offline._replace(end_N=offline.end_N + 20.0))
