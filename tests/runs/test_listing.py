"""The list of runs, and deleting runs: only run folders, never running ones, never through a symbolic link."""

from __future__ import annotations

import json
import os
import shutil
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from support.narrow_terminal import assert_numbers_fit
from support.small_process import call

from revalexo_clip.cli import app as cli
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.reports.terminal.runs import run_table, size_text
from revalexo_clip.runs.listing import list_runs, select_runs, sort_runs
from revalexo_clip.runs.prune import delete_run, select_for_deletion
from revalexo_clip.runs.state import STATE, recording_state


def made_run(folder: Path, experiment: str, stamp: str, state: str = "finished", mrr: float | None = None) -> Path:
    """Write a run folder of 1000 bytes of weights, in a state."""
    run = folder / experiment / stamp
    (run / "checkpoints").mkdir(parents=True)
    (run / "experiment.json").write_text("{}")
    (run / "checkpoints/best.ckpt").write_bytes(bytes(1000))
    (run / "checkpoints/epoch=001.ckpt").hardlink_to(run / "checkpoints/best.ckpt")
    if state != "unknown":
        (run / STATE).write_text(json.dumps({"state": state, "host": os.uname().nodename}))
    (run / "log.txt").touch()
    if mrr is not None:
        (run / "metrics.csv").write_text(f"step,val/mrr,val/loss\n1,,\n2,{mrr - 0.1},2.0\n3,{mrr},3.0\n4,nan,1.0\n")
    return run


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    made_run(folder, "demo", "20260101-000000", mrr=0.5)
    made_run(folder, "demo", "20260102-000000", mrr=0.7)
    made_run(folder, "demo", "20260103-000000-2", mrr=0.6)
    made_run(folder, "demo", "20260104-000000", "failed")
    made_run(folder, "mine", "20260105-000000", "running")  # nobody holds its lock
    made_run(folder, "mine", "20260106-000000", "unknown")
    (folder / "demo/notes").mkdir()
    (folder / "demo/20260107-000000").mkdir()  # has no experiment.json
    (folder / "latest").symlink_to("demo/20260104-000000")
    (folder / "linked").symlink_to(made_run(tmp_path / "elsewhere", "kept", "20260108-000000", "failed").parent)
    (folder / "demo/20260109-000000").symlink_to(tmp_path / "elsewhere/kept/20260108-000000")
    return folder


def test_runs_are_listed_with_state_figures_and_size(runs: Path) -> None:
    found = list_runs(runs)
    assert [(run.experiment, run.path.name, run.state) for run in found] == [
        ("mine", "20260106-000000", "unknown"),
        ("mine", "20260105-000000", "killed"),
        ("demo", "20260104-000000", "failed"),
        ("demo", "20260103-000000-2", "finished"),
        ("demo", "20260102-000000", "finished"),
        ("demo", "20260101-000000", "finished"),
    ]
    assert found[3].figures == {"val/mrr": 0.6}
    assert 1000 < found[3].size < 1300  # a hard link is not counted twice
    assert found[3].started == datetime(2026, 1, 3)
    with pytest.raises(ConfigError, match="no such folder of runs"):
        list_runs(runs / "nowhere")


def test_key_figures_are_those_of_tests_folds_and_sweeps(runs: Path) -> None:
    run = runs / "demo/20260101-000000"
    (run / "evaluation").mkdir()
    (run / "evaluation/metrics.json").write_text(json.dumps({"retrieval": {"imu_to_video": {"r_at_1": 0.25}}}))
    (run / "trials").mkdir()
    (run / "sweep.json").write_text(
        json.dumps({"metric": "val/mrr", "best": 2, "settings": [{"mean": 0.1}, {"mean": 0.4}]})
    )
    listed = list_runs(runs)[-1]
    assert (listed.kind, listed.figures) == ("sweep", {"val/mrr": 0.4, "test/imu_to_video/r_at_1": 0.25})
    (run / "sweep.json").write_text("damaged")
    (run / "evaluation/metrics.json").write_text('{"retrieval": null}')
    assert list_runs(runs)[-1].figures == {"val/mrr": 0.5}


def test_runs_are_filtered_and_sorted(runs: Path) -> None:
    found = list_runs(runs)
    assert {run.state for run in select_runs(found, ["state=failed,killed"])} == {"failed", "killed"}
    assert len(select_runs(found, ["state=finished", "experiment=demo"], "d*")) == 3
    assert select_runs(found, [], "other*") == []
    by_figure = sort_runs(found, "val/mrr", reverse=True)
    assert [run.figures.get("val/mrr") for run in by_figure] == [0.7, 0.6, 0.5, None, None, None]
    for text, told in (
        ("state=dead", "there is no such state"),
        ("stat=failed", "unknown key; did you mean 'state'"),
        ("state", "write it as KEY=VALUE"),
    ):
        with pytest.raises(ConfigError, match=told):
            select_runs(found, [text])
    with pytest.raises(ConfigError, match="--sort mrr: no run has this"):
        sort_runs(found, "mrr")


def test_what_is_deleted_must_be_said(runs: Path) -> None:
    found = list_runs(runs)
    with pytest.raises(ConfigError, match="name the runs to delete"):
        select_for_deletion(found)
    with pytest.raises(ConfigError, match="belong together"):
        select_for_deletion(found, all_but_best=2)
    with pytest.raises(ConfigError, match="--by val/mr: no run has this figure; did you mean 'val/mrr'"):
        select_for_deletion(found, all_but_best=2, by="val/mr")
    worst = select_for_deletion(found, all_but_best=2, by="val/mrr").deleted
    assert [run.path.name for run in worst] == ["20260101-000000"]
    assert {run.state for run in select_for_deletion(found, failed=True).deleted} == {"failed", "killed"}
    days = (datetime.now() - datetime(2026, 1, 3, 12)) / timedelta(days=1)
    old = select_for_deletion(found, older_than=days)
    assert len(old.deleted) == 3
    everything = select_for_deletion(found, older_than=0)
    assert [(run.path.name, why) for run, why in everything.kept] == [("20260106-000000", "its state is unknown")]


def test_deleting_is_shown_first_and_touches_nothing_else(runs: Path) -> None:
    before = sorted(runs.rglob("*"))
    shown = call("runs", "prune", "--failed", cwd=runs.parent)
    assert shown.returncode == 0
    assert "would delete 2 of 6 runs" in shown.stdout
    assert sorted(runs.rglob("*")) == before
    with recording_state(runs / "mine/20260105-000000"):  # a process works on it
        done = call("runs", "prune", "--failed", "--yes", cwd=runs.parent)
        assert "deleted 1 of 6 runs" in done.stdout
        with pytest.raises(ConfigError, match="its state is running"):
            delete_run(runs / "mine/20260105-000000")
    assert not (runs / "demo/20260104-000000").exists()
    assert not (runs / "latest").is_symlink()
    assert (runs.parent / "elsewhere/kept/20260108-000000/checkpoints/best.ckpt").is_file()
    assert (runs / "demo/notes").is_dir()
    for path in ("demo/notes", "demo/20260107-000000", "demo/20260109-000000", "linked/20260108-000000"):
        with pytest.raises(ConfigError, match="is not a run folder"):
            delete_run(runs / path)


def test_a_link_in_a_run_is_removed_and_its_target_stays(runs: Path) -> None:
    (runs / "demo/20260104-000000/data").symlink_to(runs.parent / "elsewhere", target_is_directory=True)
    delete_run(runs / "demo/20260104-000000")
    assert (runs.parent / "elsewhere/kept/20260108-000000/log.txt").is_file()


def test_a_run_with_a_running_part_is_running(runs: Path) -> None:
    run = runs / "demo/20260104-000000"
    part = run / "trials/1-seed42"
    part.mkdir(parents=True)
    with recording_state(part):
        assert list_runs(runs)[2].state == "running"
        with pytest.raises(ConfigError, match="its state is running"):
            delete_run(run)


def test_the_command_lists_as_table_and_as_json(runs: Path) -> None:
    table = call("runs", "--name", "demo", cwd=runs.parent)
    assert table.returncode == 0
    assert "val/mrr 0.700" in table.stdout
    listed = json.loads(call("runs", str(runs), "--where", "kind=pretraining", "--json", cwd=runs).stdout)
    assert [run["state"] for run in listed][:3] == ["unknown", "killed", "failed"]
    assert listed[-1]["figures"] == {"val/mrr": 0.5}
    assert "no run fits" in call("runs", "--name", "nothing", cwd=runs.parent).stdout
    assert call("runs", "prune", cwd=runs.parent).returncode == 2
    assert cli.spelled_out(["--debug", "runs", "prune", "--yes"]) == ["--debug", "prune-runs", "--yes"]
    assert cli.spelled_out(["runs", "./prune"]) == ["runs", "./prune"]
    shutil.rmtree(runs)
    assert "no such folder of runs" in call("runs", cwd=runs.parent).stderr


def test_the_table_has_all_numbers_at_every_width(runs: Path) -> None:
    assert_numbers_fit(lambda: [run_table([run.as_json() for run in list_runs(runs)])])
    assert [size_text(size) for size in (999, 2048, 3.5 * 2**30)] == ["999 B", "2.0 KiB", "3.5 GiB"]
