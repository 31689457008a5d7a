"""Reading GPMF records, and the times of samples that come in blocks."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from support.made_gopro import nested, record, text

from revalexo_clip.devices.axes import AxesError, normalised, permutation, turn
from revalexo_clip.devices.gpmf import GpmfError, read_payload, records, split_payloads
from revalexo_clip.devices.sample_times import line_through, times_of_samples

EMPTY = nested("DEVC", nested("STRM", record("TSMP", "L", 4, b""), record("ACCL", "s", 6, bytes(6))))
NUMBERS = {"b": "b", "B": "B", "s": "h", "S": "H", "l": "i", "L": "I", "j": "q", "J": "Q", "f": "f", "d": "d"}


@pytest.mark.parametrize(("kind", "code"), NUMBERS.items())
def test_numbers_of_every_type_are_read(kind: str, code: str) -> None:
    data = struct.pack(f">6{code}", *range(1, 7))
    found = next(records(record("TEST", kind, 3 * struct.calcsize(code), data)))
    assert found.numbers().tolist() == [[1, 2, 3], [4, 5, 6]]


def test_records_are_padded_to_four_bytes_and_nested() -> None:
    payload = nested("DEVC", text("DVNM", "Hero"), record("ODDS", "B", 1, b"abc"), record("LAST", "B", 1, b"x"))
    outer = next(records(payload))
    assert {key: one.repeat for key, one in outer.children().items()} == {"DVNM": 4, "ODDS": 3, "LAST": 1}
    assert len(split_payloads(payload * 3)) == 3


@pytest.mark.parametrize("unit", ["m/s²".encode("latin-1"), "m/s²".encode()])
def test_units_are_latin_1_or_utf_8(unit: bytes) -> None:
    assert next(records(record("SIUN", "c", len(unit), unit))).text() == "m/s²"


@pytest.mark.parametrize(
    "data", [b"not telemetry at all", nested("DEVC", text("DVNM", "Hero"))[:-3], nested("STRM"), EMPTY]
)
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(GpmfError):
        read_payload(data)


def test_each_value_may_have_its_own_scale() -> None:
    accl = record("ACCL", "s", 6, struct.pack(">3h", 10, 20, 30))
    payload = nested("DEVC", nested("STRM", record("SCAL", "s", 2, struct.pack(">3h", 1, 2, 3)), accl))
    assert read_payload(payload).parts["ACCL"].values_NC.tolist() == [[10, 10, 10]]


def test_an_orientation_names_the_axis_of_each_value() -> None:
    x, y, z = permutation("XzY") @ np.array([1.0, -3.0, 2.0])
    assert (x, y, z) == (1, 2, 3)
    with pytest.raises(AxesError):
        permutation("XXY")


def test_axes_are_turned_by_their_directions() -> None:
    vector_3 = turn("left, back, up", "right,forward,up") @ np.array([1.0, 2.0, 3.0])
    assert vector_3.tolist() == [-1, -2, 3]
    camera_3 = turn("right, forward, up", "right, down, forward") @ np.array([1.0, 2.0, 3.0])
    assert camera_3.tolist() == [1, -3, 2]
    assert normalised("Right,Forward,UP") == "right, forward, up"
    with pytest.raises(AxesError, match="z must point up"):
        turn("left, back, up", "right, forward, down")


def test_a_line_ignores_outliers() -> None:
    place_K = np.arange(0.0, 2000.0, 199.0)
    time_K = 0.3 + place_K / 198.5
    time_K[3] += 0.4
    start, interval = line_through(place_K, time_K)
    assert start == pytest.approx(0.3, abs=1e-9)
    assert interval == pytest.approx(1 / 198.5, rel=1e-9)
    found_N = times_of_samples(place_K, time_K, np.arange(2000.0), exact=True)
    np.testing.assert_allclose(found_N, 0.3 + np.arange(2000) / 198.5, atol=1e-9)


def test_an_inexact_clock_is_averaged_and_still_followed() -> None:
    """Ten minutes in which the sensor's rate changes by 0.02%, with times of blocks that are off by up to 20 ms."""
    place_K = 200 * np.arange(600.0)
    true_K = place_K / 200 + 1e-4 * (place_K / 200 / 600) * (place_K / 200)
    time_K = true_K + np.random.default_rng(0).uniform(-0.02, 0.02, 600)
    found_K = times_of_samples(place_K, time_K, np.arange(120_000.0), exact=False)[::200]
    assert np.abs(found_K - true_K).max() < 0.01
    line_K = np.polyval(np.polyfit(place_K, time_K, 1), place_K)
    assert np.abs(found_K - true_K)[100:500].mean() < 0.5 * np.abs(line_K - true_K)[100:500].mean()
