"""Checkpoints with different evaluation windows are not compared."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from support.small_run import built_in_experiment

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.data import WindowDataset
from revalexo_clip.evaluation.comparison import check_same_windows


def windows(root: Path, **fields: object) -> WindowDataset:
    """Return the evaluation windows of the test subjects."""
    data = built_in_experiment(root).data
    return type(data).model_validate(data.model_dump(exclude={"type"}) | fields).build("test", seed=0)


def check(one: WindowDataset, other: WindowDataset) -> str:
    """Return the error message."""
    with pytest.raises(ConfigError) as raised:
        check_same_windows({"run/1": one, "run/2": one, "run/3": other})
    return str(raised.value)


def test_the_input_of_the_encoders_may_differ(distinct: Path) -> None:
    other = windows(distinct, channels=("acc_*",), frames=3, crop=24, short_side=30, pack="off")
    check_same_windows({"run/1": windows(distinct), "run/2": other})


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        (
            {"test_subjects": ("09",)},
            "subjects: Subject05 only for run/1; name subjects that are unseen by all of them: --set",
        ),
        (
            {"test_subjects": ("02", "05")},
            "subjects: Subject09 only for run/1; Subject02 only for run/3; name subjects",
        ),
        (
            {"horizons": (0.0, 0.5)},
            "horizons [s]: 0.5 only for run/3; use the same for all of them: --set data.horizons=",
        ),
        ({"eval_stride": 1.0}, "its 6 windows do not start where the 10 of run/1 do; use one stride for all of them"),
        (
            {"window": 1.5},
            "its windows last 1.5 s, those of run/1 2 s; they were trained on windows of these lengths, so they cannot",
        ),
    ],
)
def test_the_message_names_the_difference_and_the_remedy(distinct: Path, fields: dict[str, object], says: str) -> None:
    others = {"train_subjects": ("01",)} if "test_subjects" in fields else {}
    told = check(windows(distinct), windows(distinct, **others, **fields))
    assert told.startswith(f"run/3 does not have the same evaluation windows as run/1: {says}")


def test_other_recordings_are_other_windows(distinct: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(distinct, tmp_path / "other", ignore=shutil.ignore_patterns("*.h5")))
    check_same_windows({"run/1": windows(distinct), "run/2": windows(root)})  # a copy is no other
    path = root / "data_pairs" / "Subject09.json"
    described = json.loads(path.read_text())
    described["pairs"]["0001"] = described["pairs"].pop("0000")
    path.write_text(json.dumps(described))
    told = check(windows(distinct), windows(root))
    assert "clips: Subject09/0000 only for run/1; Subject09/0001 only for run/3; use the same for all" in told


def test_other_labels_of_the_same_clips_are_told(distinct: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(distinct, tmp_path / "other", ignore=shutil.ignore_patterns("*.h5")))
    path = root / "data_pairs" / "Subject09.json"
    path.write_text(path.read_text().replace("walking", "standing"))
    told = check(windows(distinct), windows(root))
    assert told.endswith("their descriptions, are not the same; use one dataset for all of them: --data ROOT")
