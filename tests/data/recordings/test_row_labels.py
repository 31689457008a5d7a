"""Labels in a column of the CSV files: windows have the labels of their rows, and errors name file and column."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.recorded import write_table
from support.small_process import call

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.types import UNLABELLED
from revalexo_clip.data import ImuRecordings
from revalexo_clip.data.recordings.row_labels import segments_of
from revalexo_clip.data.windows import Floats

RATE = 50
BEGUN = 1_700_000_000.5
"""What the clock reads at the first row [s]."""
LABELS = ["walking"] * 150 + [""] * 50 + ["sitting"] * 100 + ["walking"] * 50


def write_rows(path: Path, labels: list[str], time_n: Floats | None = None, column: str = "what") -> None:
    """A recording at 50 Hz whose rows have labels."""
    time_n = np.arange(len(labels)) / RATE if time_n is None else time_n
    rows = [
        f"{BEGUN + time:.3f},{np.sin(9 * time):.4f},1,9.8,{label}" for time, label in zip(time_n, labels, strict=True)
    ]
    write_table(path, f"clock,acc_x,acc_y,acc_z,{column}", *rows)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two recordings, whose columns of labels have different names."""
    root = tmp_path / "own"
    root.mkdir()
    write_rows(root / "anna.csv", LABELS)
    write_rows(root / "ben.csv", ["lying"] * 200, column="activity")
    write_table(root / "recordings.csv", "file,subject,label_column", "anna.csv,Anna,what", "ben.csv,Ben,activity")
    return root


def of(root: Path, **fields: object) -> ImuRecordings:
    wanted = {"root": root, "train_subjects": ("Ben",), "val_subjects": ("Anna",), "imu_rate": RATE, "window": 1.0}
    return ImuRecordings.model_validate(wanted | {"time": "clock"} | fields)


def labels_at_end(data: ImuRecordings) -> dict[float, str | None]:
    """The label at the end of each window of Anna."""
    dataset = data.labelled("val", seed=0)
    names = {UNLABELLED: None, **dict(enumerate(dataset.activities))}
    samples = [dataset[0, index] for index in range(len(dataset))]
    return {sample.start.item() + 1: names[int(sample.label_K[0])] for sample in samples}


@pytest.mark.parametrize("how", [{"time": "clock"}, {"time": None, "rate": RATE, "check_clock": False}])
@pytest.mark.parametrize("offset", [0.0, 0.3])
def test_windows_have_the_labels_of_their_rows(how: dict[str, object], offset: float, root: Path) -> None:
    data = of(root, **how, imu_offset=offset)
    assert data.labelled("train", seed=0).activities == ("lying", "sitting", "walking")  # of all subjects
    expected = {
        end / 2: "walking" if end < 6 or end >= 12 else "sitting" if 8 <= end < 12 else None for end in range(2, 15)
    }
    assert labels_at_end(data) == expected


def test_rows_are_sorted_with_their_labels(root: Path) -> None:
    data = of(root, on_bad_time="sort")
    before = labels_at_end(data)
    order = np.random.default_rng(0).permutation(len(LABELS))
    write_rows(root / "anna.csv", [LABELS[row] for row in order], order / RATE)
    assert labels_at_end(data) == before


def test_labels_stay_with_their_rows_after_a_gap(root: Path) -> None:
    time_n = np.arange(350) / RATE
    time_n[75:] += 5.0
    write_rows(root / "anna.csv", LABELS, time_n)
    dataset = of(root, on_bad_time="split").labelled("val", seed=0)
    samples = [dataset[0, index] for index in range(len(dataset))]
    names = {UNLABELLED: None, **dict(enumerate(dataset.activities))}
    found = [(int(one.clip), one.start.item() + 1, names[int(one.label_K[0])]) for one in samples]
    assert found[:2] == [(0, 1.0, "walking"), (0, 1.5, "walking")]
    second = {1.0: "walking", 1.5: None, 2.0: None, 2.5: "sitting", 3.0: "sitting", 4.0: "sitting", 4.5: "walking"}
    assert {end: label for clip, end, label in found if clip == 1 and end in second} == second


def test_runs_end_where_the_next_begins_and_before_long_steps() -> None:
    time_n = np.array([0.0, 1.0, 2.0, 3.0, 10.0, 11.0, 12.0])
    label_n = np.array([4, 4, 0, 0, 0, -1, 4])
    assert segments_of(label_n, time_n, 1.0, 2.0) == [(0.0, 2.0, 4), (2.0, 4.0, 0), (10.0, 11.0, 0), (12.0, 13.0, 4)]


def test_a_fingerprint_changes_with_the_labels(root: Path) -> None:
    before = of(root).labelled("val", 0).fingerprint()
    (root / "anna.csv").write_text((root / "anna.csv").read_text().replace("sitting", "cycling"))
    assert of(root).labelled("val", 0).fingerprint() != before


def table(header: str, *lines: str) -> Callable[[Path], None]:
    return lambda root: write_table(root / "recordings.csv", header, *lines)


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no such column": (
        table("file,subject,label_column", "anna.csv,Anna,what", "ben.csv,Ben,what"),
        r"ben\.csv: no column what, which .*recordings\.csv names in line 3, column label_column; columns: clock,",
    ),
    "column twice": (
        lambda root: (root / "anna.csv").write_text((root / "anna.csv").read_text().replace("acc_y", "what", 1)),
        r"anna\.csv: more than one column is named what",
    ),
    "no labels": (
        lambda root: write_rows(root / "anna.csv", [" "] * 300),
        r"anna\.csv: column what has no label in any row",
    ),
    "two spellings": (
        lambda root: write_rows(root / "ben.csv", ["Walking"] * 300, column="activity"),
        r"recordings\.csv, column label_column: the activities 'Walking' and 'walking' differ only in case",
    ),
    "file not there": (
        lambda root: (root / "anna.csv").unlink(),
        r"anna\.csv: the recording of Anna is missing: .* \(named in .*recordings\.csv\)",
    ),
    "segments too": (
        lambda root: write_table(root / "segments.csv", "file,start,end,label"),
        r"recordings\.csv: has a column label_column, but segments\.csv exists too; keep one of them",
    ),
    "both": (
        table("file,subject,label,label_column", "anna.csv,Anna,a,what"),
        r"recordings\.csv: has the columns label and label_column; keep one of them",
    ),
    "neither": (
        table("file,subject", "anna.csv,Anna"),
        r"recordings\.csv: has no column label, .* add a column label_column with its name",
    ),
}


@pytest.mark.parametrize("damage", BROKEN)
def test_errors_name_file_and_column(damage: str, root: Path) -> None:
    change, message = BROKEN[damage]
    change(root)
    with pytest.raises(DataError, match=message):
        of(root).labelled("val", seed=0)


def test_check_data_reads_the_labels(root: Path) -> None:
    write_rows(root / "ben.csv", [" "] * 200, column="activity")
    finished = call("check-data", str(root), "--time", "clock", cwd=root)
    assert finished.returncode == 1
    assert "column activity has no label in any row" in " ".join(finished.stdout.split())
    write_rows(root / "ben.csv", ["lying"] * 200, column="activity")
    assert (
        "2 recordings, 0.00 h, 2 subjects: 0 errors"
        in call("check-data", str(root), "--time", "clock", cwd=root).stdout
    )
