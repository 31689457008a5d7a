"""Whether several checkpoints are measured on the same windows; where they are not, what differs and what helps."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

import numpy as np

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.data import WindowDataset
from revalexo_clip.metrics.evaluated import Floats

_SUBJECTS = "name subjects that none of them has seen: --set data.test_subjects=NAME,... holds for all"
_CLIPS = "--set data.min_duration=... and --set data.on_bad_clip=... hold for all"
_ROOT = "--data ROOT names one dataset for all"
_STRIDE = "--set data.eval_stride=... holds for all"
_HORIZONS = "--set data.horizons=... holds for all"
_LENGTH = "that is what they were trained on, so they cannot be compared"
_NAMED = 5
"""Names of what only one of two has that are told."""


def check_same_windows(datasets: Mapping[str, WindowDataset]) -> None:
    """Raise `ConfigError` where datasets, by the name of their checkpoint, are not the same evaluation windows.

    What encoders take of a window may differ: channels, frames, sizes. Its recording, start, length and labels may not.
    """
    (first, reference), *others = datasets.items()
    for name, dataset in others:
        found = _difference(first, reference, name, dataset)
        if found is not None:
            what, remedy = found
            raise ConfigError(f"{name} would not be measured on the same windows as {first}: {what}; {remedy}")


def _difference(first: str, one: WindowDataset, second: str, other: WindowDataset) -> tuple[str, str] | None:
    """The first thing that differs, and what to do about it."""
    for what, ones, others, remedy in (
        ("subjects", tuple(sorted(set(one.clip_subjects))), tuple(sorted(set(other.clip_subjects))), _SUBJECTS),
        ("clips", one.clip_names, other.clip_names, _CLIPS),
        ("activities", one.activities, other.activities, _ROOT),
        ("horizons [s]", one.horizons, other.horizons, _HORIZONS),
    ):
        if ones != others:
            return f"{what}: {_apart(first, ones, second, others)}", remedy
    if one.fingerprint() != other.fingerprint():
        return "the files of these clips, or what is said of them, are not the same", _ROOT
    if one.imu_spec.window != other.imu_spec.window:
        return f"its windows last {other.imu_spec.window:g} s, those of {first} {one.imu_spec.window:g} s", _LENGTH
    if not np.array_equal(_places(one), _places(other)):
        return f"its {len(other)} windows do not start where the {len(one)} of {first} do", _STRIDE
    assert (one.labels(0) == other.labels(0)).all()  # they are read from the same files at the same moments
    return None


def _places(dataset: WindowDataset) -> Floats:
    """[N, 2] clip and start [s] of each window."""
    return np.stack([dataset.windows.clip_N, dataset.windows.start_N], axis=1)


def _apart(first: str, ones: tuple[object, ...], second: str, others: tuple[object, ...]) -> str:
    """What only one of two lists has; or that their order differs."""
    missing, new = [item for item in ones if item not in others], [item for item in others if item not in ones]
    if not missing and not new:
        return "in another order"
    told = ((missing, first), (new, second))
    return "; ".join(f"{_listed(items)} only for {name}" for items, name in told if items)


def _listed(items: list[object]) -> str:
    more = len(items) - _NAMED
    return ", ".join(map(str, islice(items, _NAMED))) + (f" and {more} more" if more > 0 else "")
