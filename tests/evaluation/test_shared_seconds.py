"""A perfect model on a dataset whose clips share seconds, with declared and with found offsets."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from support.made_windows import knowing_the_moment
from support.overlapping import write_overlapping
from support.tiny_dataset import revalexo

from revalexo_clip.core.component import JsonObject
from revalexo_clip.data import RevalExo
from revalexo_clip.data.base import LabelledWindows
from revalexo_clip.data.synthetic.write import synthesize
from revalexo_clip.metrics.blocks import units_of
from revalexo_clip.metrics.bootstrap import TimeBootstrap
from revalexo_clip.metrics.evaluated import EvaluatedWindows
from revalexo_clip.metrics.galleries import ALL_GALLERIES, DIRECTIONS, measure_retrieval, rank_galleries


def evaluated(dataset: LabelledWindows) -> EvaluatedWindows:
    """Windows of a dataset as an evaluation has them, with embeddings that are all alike."""
    clip_N, start_N = dataset.windows.clip_N, dataset.windows.start_N
    label_NK = torch.from_numpy(dataset.labels(0))
    same_ND = torch.ones(len(dataset), 1)
    return EvaluatedWindows(
        imu_ND=same_ND,
        video_ND=same_ND,
        features={},
        label_NK=label_NK,
        transition_NK=torch.zeros_like(label_NK, dtype=torch.bool),
        clip_N=torch.from_numpy(clip_N),
        start_N=torch.from_numpy(start_N),
        recording_N=torch.from_numpy(dataset.clip_recordings[clip_N]),
        time_N=torch.from_numpy(start_N + dataset.clip_offsets[clip_N]),
        clip_subjects=dataset.clip_subjects,
        clip_names=dataset.clip_names,
        activities=dataset.activities,
        horizons=dataset.horizons,
    )


@pytest.mark.long
@pytest.mark.parametrize("declare", [True, False])
def test_a_perfect_model_is_perfect_in_every_gallery(tmp_path: Path, declare: bool) -> None:
    synthesize(tmp_path / "data", subjects=1, clips=4, overlap=4.0, declare=declare, processes=1)
    (subject,) = (path.stem for path in (tmp_path / "data" / "data_pairs").glob("*.json"))
    nobody = {"train_subjects": (), "val_subjects": ()}
    data = RevalExo.model_validate({"root": tmp_path / "data", "test_subjects": (subject,), **nobody})
    windows = knowing_the_moment(evaluated(data.labelled("test", seed=0)))
    found = measure_retrieval(windows, rank_galleries(windows), TimeBootstrap(units_of(windows), resamples=20))
    assert len(np.unique(windows.recording_N)) == 2
    assert len(windows.clip_names) == 4
    for gallery in ALL_GALLERIES:
        of_gallery = cast("JsonObject", found[gallery])
        for direction in DIRECTIONS:
            assert cast("JsonObject", of_gallery[direction])["r_at_1"] == 1.0


@pytest.mark.parametrize("declare", [True, False], ids=["declared", "found"])
def test_a_perfect_model_is_perfect_on_eight_clips_of_one_recording(tmp_path: Path, declare: bool) -> None:
    write_overlapping(tmp_path, declare=declare)
    data = revalexo(tmp_path, train_subjects=(), val_subjects=(), test_subjects=("01",), min_duration=10.0)
    windows = knowing_the_moment(evaluated(data.labelled("test", seed=0)))
    assert (len(windows.clip_names), len(windows), np.unique(windows.recording_N).tolist()) == (8, 8 * 16 + 5, [0])
    for tolerance in (0.0, 1.0):
        galleries = rank_galleries(windows, tolerance)
        found = measure_retrieval(windows, galleries, TimeBootstrap(units_of(windows), resamples=20))
        for gallery in ALL_GALLERIES:
            for direction in DIRECTIONS:
                assert cast("JsonObject", cast("JsonObject", found[gallery])[direction])["r_at_1"] == 1.0
