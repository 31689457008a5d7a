from __future__ import annotations

import csv
from pathlib import Path

from revalexo_clip.training.metrics_file import MetricsFile


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return [{name: value for name, value in row.items() if value} for row in csv.DictReader(file)]


def test_rows_are_on_disk_at_once_and_columns_come_when_they_are_needed(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    log = MetricsFile(path)
    log.log_metrics({"loss": 2.0}, step=0)
    assert rows(path) == [{"loss": "2.0", "step": "0"}]
    log.log_metrics({"loss": 1.0, "epoch": 0}, step=1)
    log.log_metrics({"accuracy": 0.5}, step=1)
    assert rows(path) == [
        {"loss": "2.0", "step": "0"},
        {"loss": "1.0", "step": "1", "epoch": "0"},
        {"accuracy": "0.5", "step": "1"},
    ]
    assert path.read_text().splitlines()[0] == "accuracy,epoch,loss,step"


def test_a_resumed_run_keeps_the_rows_of_the_steps_that_it_does_not_repeat(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    first = MetricsFile(path)
    for step in range(4):
        first.log_metrics({"loss": 4.0 - step}, step=step)
    kept = path.read_text().splitlines()[:3]
    second = MetricsFile(path, step=2)
    assert len(rows(path)) == 4
    second.log_metrics({"loss": 1.5}, step=2)
    second.log_metrics({"loss": 1.25}, step=3)
    assert path.read_text().splitlines() == [*kept, "1.5,2", "1.25,3"]


def test_a_resumed_run_whose_file_was_lost_begins_another(tmp_path: Path) -> None:
    MetricsFile(tmp_path / "metrics.csv", step=2).log_metrics({"loss": 1.5}, step=2)
    assert rows(tmp_path / "metrics.csv") == [{"loss": "1.5", "step": "2"}]


def test_the_row_of_an_epoch_is_added_only_if_it_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    undisturbed = MetricsFile(path)
    epoch_row = {"loss_epoch": 2.5, "epoch": 0, "step": 1}
    for step, row in ((0, {"loss": 3.0}), (1, {"loss": 2.0}), (1, {"loss_epoch": 2.5, "epoch": 0}), (2, {"loss": 1.0})):
        undisturbed.log_metrics(row, step=step)
    whole = path.read_text().splitlines()
    for there in (whole, whole[:-1], whole[:-2]):
        path.write_text("\n".join(there) + "\n")
        resumed = MetricsFile(path, step=2)
        resumed.complete(epoch_row)
        resumed.log_metrics({"loss": 1.0}, step=2)
        assert path.read_text().splitlines() == whole
