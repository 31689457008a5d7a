"""Labels are optional: clips without activities last as long as their files, and pretraining needs no label."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from support.small_run import built_in_experiment, train, write_distinct_dataset
from support.tiny_dataset import revalexo, write_imu, write_json

from revalexo_clip.config.finetuning import FinetuneExperiment
from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import DataError
from revalexo_clip.core.types import UNLABELLED
from revalexo_clip.data.revalexo.check import check_dataset
from revalexo_clip.data.revalexo.pack.build import pack
from revalexo_clip.data.revalexo.pack.find import NAME
from revalexo_clip.finetuning.build import build_finetune_setup


def unlabel(root: Path, *, subject: str = "*", given: bool = False) -> None:
    """Remove the labels of a dataset, or of one subject."""
    for path in root.glob(f"data_pairs/{subject}.json"):
        described = json.loads(path.read_text())
        for pair in described["pairs"].values():
            del pair["transition_segments"], pair["activity_segments"]
            if given:
                pair["activity_segments"] = []
        write_json(path, described)
    if subject == "*":
        empty: JsonObject = {"label_to_idx": {}}
        write_json(root / "label_mapping.json", empty)


@pytest.fixture
def root(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "dataset", ignore=shutil.ignore_patterns(NAME)))


@pytest.mark.long
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("given", [False, True])
def test_windows_of_clips_without_activities_cover_their_files(given: bool, packed: bool, root: Path) -> None:
    expected = revalexo(root).build("val", seed=0)
    unlabel(root, given=given)
    if packed:
        pack(root, processes=1)
    windows = revalexo(root, pack="auto").build("val", seed=0)
    np.testing.assert_array_equal(windows.windows.start_N, expected.windows.start_N)
    for index in range(len(windows)):
        one, other = windows[0, index], expected[0, index]
        assert np.array_equal(one.imu_LC, other.imu_LC)
        assert packed or np.array_equal(one.video_THWC, other.video_THWC)
        assert one.label_K.tolist() == [UNLABELLED]
    assert (windows.labels(0) == UNLABELLED).all()
    assert windows.activities == ()
    training = revalexo(root, pack="auto").build("train", seed=0)
    assert max(training[0, index].start for index in range(len(training))) + 2.0 <= 4.1
    assert not [
        problem
        for problem in check_dataset(root, channels=("acc_*",), imu_rate=60.0, processes=1).problems
        if problem.severity == "error"
    ]


def test_a_clip_without_activities_is_left_out_if_its_files_are_short(root: Path) -> None:
    unlabel(root, subject="Subject08")
    assert revalexo(root).build("val", seed=0).num_too_short == 0
    write_imu(root / "imu/Subject08/0000.csv", duration=1.5)
    windows = revalexo(root).build("val", seed=0)
    assert (windows.num_too_short, windows.clip_names) == (1, ("Subject08/0001",))
    write_imu(root / "imu/Subject08/0001.csv", duration=1.5)
    with pytest.raises(DataError, match="no clip of Subject08 lasts at least"):
        revalexo(root).build("val", seed=0)


def test_check_data_warns_of_clips_without_activities_and_counts_their_files(root: Path) -> None:
    unlabel(root, subject="Subject08")
    found = check_dataset(root, channels=("acc_*",), imu_rate=60.0, processes=1)
    problems = [problem for problem in found.problems if problem.kind == "unlabelled"]
    assert [(problem.clip, problem.severity) for problem in problems] == [
        ("Subject08/0000", "warning"),
        ("Subject08/0001", "warning"),
    ]
    assert found.seconds == pytest.approx(6 * 4.0, abs=0.1)
    assert not [problem for problem in found.problems if problem.kind in ("imu_short", "video_short")]


@pytest.mark.long
def test_a_dataset_without_labels_pretrains(tmp_path: Path) -> None:
    write_distinct_dataset(tmp_path / "data")
    unlabel(tmp_path / "data")
    experiment = built_in_experiment(tmp_path / "data")
    checkpoint = train(experiment, tmp_path) / "checkpoints" / "best.ckpt"
    assert checkpoint.is_file()
    fields = {"name": "none", "data": experiment.data, "encoder": checkpoint, "batch_size": 4, "imu": None}
    with pytest.raises(DataError, match="no training window has a label at the first"):
        build_finetune_setup(FinetuneExperiment.model_validate(fields))
