"""Sweeps from the command line, as real processes: failures, killed sweeps, resuming, and the table in the end."""

from __future__ import annotations

import json
import signal
import time
from contextlib import chdir
from pathlib import Path
from statistics import fmean, stdev

import pytest
from support import warm_process
from support.imu_alone import write_recordings
from support.narrow_terminal import rendered
from support.small_process import EXPERIMENT, call
from support.small_training import logged

from revalexo_clip.config.base import Experiment
from revalexo_clip.config.loading import load_experiment_of
from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.reports.terminal.sweep import sweep_report
from revalexo_clip.runs.listing import list_runs
from revalexo_clip.runs.state import STATE, recording_state, state_of
from revalexo_clip.sweeps.sweep import SweepGroup, sweep

pytestmark = pytest.mark.filterwarnings("ignore:::lightning", "ignore:This DataLoader will create")

FILE = Path(EXPERIMENT).with_name("sweep_experiment.py")
GRID = ("--set", "imu.kernel=5,7,9", "--seeds", "2")
SIX = [f"{number}-seed{seed}" for number in (1, 2, 3) for seed in (42, 43)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_recordings(tmp_path / "recordings.npz")
    return tmp_path


def made(folder: Path, values: dict[str, list[float]]) -> Path:
    """Write a sweep whose trials are done, with these values of `val/selection` in two epochs each."""
    with chdir(folder):
        experiment = load_experiment_of(Experiment, str(FILE))
        group = SweepGroup(experiment, ["imu.kernel=5,7,9"], seeds=2)
        run = folder / "runs/swept/20260101-000000"
        (run / "trials").mkdir(parents=True)
        (run / "experiment.json").write_text(group.experiment.to_json())
        group.begin(run)
        for name, epochs in values.items():
            trial = run / "trials" / name
            trial.mkdir()
            rows = "".join(f"{step},{value},{9 - value}\n" for step, value in enumerate(epochs))
            (trial / "metrics.csv").write_text(f"step,val/selection,val/loss\n{rows}")
            with recording_state(trial):
                pass
    return run


VALUES = dict(zip(SIX, [[0.1, 0.3], [0.5, 0.2], [0.6, 0.5], [0.7, 0.9], [0.3, 0.3], [0.4, 0.5]], strict=True))


@pytest.mark.long
def test_trials_that_are_done_are_summarized_by_the_verb_alone(folder: Path) -> None:
    run = made(folder, VALUES)
    with chdir(folder):
        done = sweep(load_experiment_of(Experiment, str(FILE)), ["imu.kernel=5,7,9"], seeds=2, resume="newest")
    assert (done.folder, done.failures) == (run.relative_to(folder), {})
    assert done.summary == json.loads((run / "sweep.json").read_text())
    assert [one["mean"] for one in listed(done.summary)] == pytest.approx([0.4, 0.75, 0.4])
    assert done.summary["best"] == 2
    assert done.summary["metric"] == "val/selection"
    differences = done.summary["differences"]
    assert isinstance(differences, dict)
    second, third = differences.values()
    assert isinstance(second, dict)
    assert isinstance(third, dict)
    assert second["mean"] == pytest.approx(0.35)
    assert third["mean"] == pytest.approx(0.0)
    assert "Setting 2 (kernel 7) has the highest mean val/selection: 75.0% over 2 seeds." in (
        rendered(sweep_report(done.summary), 200)
    )
    assert json.loads((run / STATE).read_text())["state"] == "finished"


def test_another_metric_is_that_of_the_same_epochs(folder: Path) -> None:
    made(folder, VALUES)
    with chdir(folder):
        done = sweep(
            load_experiment_of(Experiment, str(FILE)), ["imu.kernel=5,7,9"], seeds=2, metric="val/loss", resume="newest"
        )
    assert [one["mean"] for one in listed(done.summary)] == pytest.approx([8.6, 8.25, 8.6])
    assert (done.summary["better"], done.summary["best"]) == ("min", 2)


def listed(summary: JsonObject) -> list[JsonObject]:
    settings = summary["settings"]
    assert isinstance(settings, list)
    return [one for one in settings if isinstance(one, dict)]


@pytest.mark.parametrize(
    ("settings", "seeds", "told"),
    [
        (
            ["imu.kernel=5,7"],
            2,
            r"the grid of this sweep is imu.kernel=5,7,9, and that of the command is imu.kernel=5,7;",
        ),
        (["imu.kernel=5,9,7"], 2, "the grid of this sweep is"),
        (["optim.lr=1,2"], 2, "the grid of this sweep is"),
        (["imu.kernel=5,7,9"], 3, "the seeds of this sweep are 42, 43, and those of the command are 42, 43, 44"),
    ],
)
def test_another_grid_is_not_resumed(folder: Path, settings: list[str], seeds: int, told: str) -> None:
    run = made(folder, VALUES)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with chdir(folder), pytest.raises(ConfigError, match=told):
        sweep(load_experiment_of(Experiment, str(FILE)), settings, seeds=seeds, resume="newest")
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_change_of_the_file_that_concerns_one_setting_is_noticed(folder: Path) -> None:
    run = made(folder, VALUES)
    with chdir(folder):
        experiment = load_experiment_of(Experiment, str(FILE))
        group = SweepGroup(experiment, ["imu.kernel=5,7,9"], seeds=2)
        before = group.parts[3].experiment.model_copy(update={"embed_dim": 4})
        (run / "trials/2-seed43/experiment.json").write_text(before.to_json())
        with pytest.raises(ConfigError, match=r"2-seed43: the experiment differs .*\n  embed_dim: 4 -> 8"):
            sweep(experiment, ["imu.kernel=5,7,9"], seeds=2, resume="newest")
    assert len([*run.glob(f"trials/*/{STATE}")]) == 6


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--set", "imu.kernel=5"), "nothing to sweep"),
        (("--set", "imu.kernel=5,7", "--metric", "val/mrr"), "--metric val/mrr: this experiment has no such metric"),
        (("--set", "imu.dilations=1,2"), "ambiguous"),
        (("--set", "data.root=nowhere.npz", "--seeds", "2"), "nowhere.npz"),
        (("--seeds", "2", "--resume", "runs/nowhere"), "not a run folder, or a run without trials"),
        (("--seeds", "2", "--cluster-set", "mem_gb=4"), "--cluster-set requires --cluster"),
    ],
)
def test_sweeps_that_cannot_be_are_refused_before_anything_is_written(
    folder: Path, options: tuple[str, ...], told: str
) -> None:
    finished = call("sweep", FILE, *options, cwd=folder)
    assert finished.returncode in (1, 2)
    assert told in finished.stderr
    assert "Traceback" not in finished.stderr
    assert [path.name for path in folder.iterdir()] == ["recordings.npz"]


def finished(run: Path) -> list[str]:
    """Return the trials that are finished."""
    return [path.name for path in sorted((run / "trials").glob("*")) if state_of(path).state == "finished"]


@pytest.mark.long
def test_six_trials_of_which_one_fails_killed_and_resumed_end_in_the_right_table(folder: Path) -> None:
    command = ("sweep", FILE, *GRID, "--jobs", "3")
    run = folder / "runs/latest"
    printed = folder / "printed.txt"
    process = warm_process.start(
        [*map(str, command)], cwd=folder, out=printed, err=printed, environment={"FAIL_AT": "7:43"}
    )
    while not finished(run) and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    while any(state_of(trial).state == "running" for trial in (run / "trials").iterdir()):
        time.sleep(0.05)  # trials end soon after the process that started them
    done = finished(run)
    assert 0 < len(done) < 6
    logs = {name: (run / "trials" / name / "log.txt").read_text() for name in done}
    assert [listed.state for listed in list_runs(folder / "runs")] == ["killed"]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAIL_AT", "7:43")
        failed = call(*command, "--resume", cwd=folder)
    assert failed.returncode == 1
    assert f": 6 trials (3 settings, 2 seeds), {6 - len(done)} to do" in failed.stderr
    assert "error: 2-seed43: RuntimeError: this trial fails on purpose" in failed.stderr.replace("exit code 1: ", "")
    assert "Traceback" not in failed.stderr.partition("error: 2-seed43")[2]
    assert "Without a result: 2-seed43." in failed.stdout
    summary = json.loads((run / "sweep.json").read_text())
    assert list(summary["unfinished"]) == ["2-seed43"]
    assert summary["differences"]["2"]["seeds"] == 1
    assert state_of(run).error == "1 trial failed: 2-seed43"

    refused = call("sweep", FILE, "--set", "imu.kernel=5,7", "--seeds", "2", "--resume", cwd=folder)
    assert refused.returncode == 2
    assert "the grid of this sweep is imu.kernel=5,7,9" in refused.stderr

    repaired = call(*command, "--resume", cwd=folder)
    assert repaired.returncode == 0, repaired.stderr
    assert ": 6 trials (3 settings, 2 seeds), 1 to do" in repaired.stderr
    assert {name: (run / "trials" / name / "log.txt").read_text() for name in done} == logs
    summary = json.loads((run / "sweep.json").read_text())
    assert summary["unfinished"] == {}
    values = {name: max(logged(run / "trials" / name, "val/selection")) for name in SIX}
    by_setting = [[values[f"{number}-seed{seed}"] for seed in (42, 43)] for number in (1, 2, 3)]
    for one, expected in zip(summary["settings"], by_setting, strict=True):
        assert one["mean"] == pytest.approx(fmean(expected))
        assert one["deviation"] == pytest.approx(stdev(expected))
    for number, expected in ((2, by_setting[1]), (3, by_setting[2])):
        gains = [one - first for one, first in zip(expected, by_setting[0], strict=True)]
        assert summary["differences"][str(number)]["mean"] == pytest.approx(fmean(gains))
    for expected in by_setting:
        assert f"{100 * fmean(expected):.1f}%" in repaired.stdout
    assert len(list(run.resolve().parent.iterdir())) == 1


@pytest.mark.long
def test_trials_are_jobs_of_a_cluster_which_may_fail_and_be_resumed(folder: Path) -> None:
    pytest.importorskip("submitit")
    command = ("sweep", FILE, "--set", "imu.kernel=5,7")
    cluster = ("--cluster", "local", "--cluster-set", "timeout_min=5")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAIL_AT", "7:42")
        failed = call(*command, *cluster, cwd=folder)
    run = folder / "runs/latest"
    assert failed.returncode == 1
    assert "error: 2-seed42: RuntimeError: this trial fails on purpose" in failed.stderr.replace("exit code 1: ", "")
    assert (finished(run), list(json.loads((run / "sweep.json").read_text())["unfinished"])) == (
        ["1-seed42"],
        ["2-seed42"],
    )
    resumed = call(*command, *cluster, "--resume", cwd=folder)
    assert resumed.returncode == 0, resumed.stderr
    assert ": 2 trials (2 settings, 1 seed), 1 to do" in resumed.stderr
    summary = json.loads((run / "sweep.json").read_text())
    assert [one["mean"] for one in summary["settings"]] == pytest.approx(
        [max(logged(run / "trials" / name, "val/selection")) for name in ("1-seed42", "2-seed42")]
    )

    here = call(*command, cwd=folder)
    assert here.returncode == 0, here.stderr
    other = json.loads((folder / "runs/latest/sweep.json").read_text())
    assert other["settings"] == summary["settings"]
