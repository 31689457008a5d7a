"""Which windows `rxclip search` compares with a sentence: all in the time of the recordings that are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.made_ego4d import FAULTY, OTHER, write_ego4d
from support.overlapping import write_overlapping
from support.small_run import built_in_experiment
from support.tiny_dataset import revalexo

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.data import Ego4D, LabelledWindows
from revalexo_clip.data.ego4d.dataset import NarratedTakes
from revalexo_clip.evaluation.search import _of_subjects, _selected


def times(windows: LabelledWindows, *recordings: str) -> list[float]:
    rows = _selected(windows, recordings)
    placed = windows.windows
    return sorted((placed.start_N[rows] + windows.clip_offsets[placed.clip_N[rows]]).tolist())


def test_a_clip_is_searched_to_its_end_also_where_it_shares_seconds(tmp_path: Path) -> None:
    write_overlapping(tmp_path, declare=True)
    data = revalexo(tmp_path, train_subjects=(), val_subjects=(), test_subjects=("01",), min_duration=10.0)
    windows = data.labelled("test", 0)
    last = 12 - windows.imu_spec.window
    expected = np.arange(0, last + 1e-6, data.eval_stride)
    assert times(windows, "Subject01/0000") == pytest.approx(expected)
    assert times(windows, "01/0003") == pytest.approx(24 + expected)
    assert len(times(windows, "Subject01")) == len(windows)


@pytest.fixture
def takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ego4D:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_ego4d(tmp_path / "ego4d")
    small = {"window": 1.0, "frames": 2, "crop": 32, "short_side": 32, "eval_stride": 1.0}
    return Ego4D.model_validate({"root": tmp_path / "ego4d", "test_subjects": ("participant_1",)} | small)


@pytest.mark.long
def test_all_pieces_of_a_take_are_searched_also_where_nothing_is_narrated(takes: Ego4D, tmp_path: Path) -> None:
    experiment = built_in_experiment(tmp_path).model_copy(update={"data": takes})
    data = _of_subjects(experiment, [f"participant_1/{FAULTY}"]).data
    assert isinstance(data, NarratedTakes)
    assert data.around == "anywhere"
    windows = data.labelled("test", 0)
    pieces = [name for name in windows.clip_names if FAULTY in name]
    assert any("#" in name for name in pieces)
    of_pieces = [
        windows.clip_names[windows.windows.clip_N[row]] for row in _selected(windows, [f"participant_1/{FAULTY}"])
    ]
    assert sorted(set(of_pieces)) == sorted(name for name in pieces if _has_window(windows, name))
    one = next(name for name in pieces if "#" in name and _has_window(windows, name))
    assert {windows.clip_names[windows.windows.clip_N[row]] for row in _selected(windows, [one])} == {one}


def _has_window(windows: LabelledWindows, name: str) -> bool:
    return windows.clip_names.index(name) in windows.windows.clip_N


def test_a_recording_without_windows_is_named(takes: Ego4D) -> None:
    data = takes.model_copy(update={"around": "anywhere", "eval_stride": 7.5, "test_subjects": ("participant_1",)})
    windows = data.labelled("test", 0)
    empty = next(name for name in windows.clip_names if not _has_window(windows, name))
    with pytest.raises(ConfigError, match=r"has no window of 1 s at a multiple of data\.eval_stride"):
        _selected(windows, [empty])
    with pytest.raises(ConfigError, match="no clip"):
        _selected(windows, [f"participant_1/{OTHER}"])
