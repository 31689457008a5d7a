"""Finetuning in folds from the command line: parallel processes, failures, interruption, resume and cluster jobs."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import time
from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from support import warm_process
from support.small_process import EXPERIMENT, Finished, call, rxclip, succeed
from support.small_training import logged, metrics, weights

from revalexo_clip.config.finetuning import FinetuneExperiment
from revalexo_clip.config.folds import LeaveOneSubjectOut, choose
from revalexo_clip.config.loading import load_experiment_of
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.evaluation.storage import read_predictions
from revalexo_clip.finetuning.cross_validation import cross_validate
from revalexo_clip.finetuning.run import finetune

pytestmark = pytest.mark.filterwarnings("ignore:::lightning", "ignore:This DataLoader will create")

FILE = Path(__file__).parents[1] / "support" / "folds_experiment.py"
NAMES = ("01", "05")
"""The folds that are run. There is a third."""
TWO = ("--fold", "01", "--fold", "05")


def leaving_one_out(root: Path, *overrides: str) -> FinetuneExperiment:
    return load_experiment_of(FinetuneExperiment, f"{FILE}:LeavingOneOut", [f"data.root={root}", *overrides])


def command(root: Path) -> tuple[str, ...]:
    return ("finetune", f"{FILE}:LeavingOneOut", "--set", f"data.root={root}", *TWO)


@pytest.fixture(scope="module")
def in_two(distinct: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Finished]:
    """A run with two folds at a time, and its output. Do not change it."""
    folder = tmp_path_factory.mktemp("in_two")
    finished = succeed(*command(distinct), "--jobs", "2", cwd=folder)
    return folder / "runs/latest", finished


def test_a_dry_run_names_the_run_that_would_be_resumed(distinct: Path, tmp_path: Path) -> None:
    experiment = leaving_one_out(distinct)
    run = Path("runs", experiment.name, "20260101-000000")
    (tmp_path / run / "folds/01/evaluation").mkdir(parents=True)
    (tmp_path / run / "folds/01/evaluation/predictions.h5").touch()
    (tmp_path / run / "experiment.json").write_text(experiment.to_json())
    planned = call(*command(distinct), "--dry-run", "--resume", cwd=tmp_path)
    assert planned.stdout.splitlines()[-1] == f"from   {run}: 1 fold done"


def assert_same_fold(one: Path, other: Path) -> None:
    """Assert that two runs have the same weights, metrics and predictions, bit for bit."""
    for checkpoint in ("best", "last"):
        expected, found = (weights(run / f"checkpoints/{checkpoint}.ckpt") for run in (one, other))
        assert expected.keys() == found.keys()
        assert all(torch.equal(value, found[name]) for name, value in expected.items())
    assert metrics(one) == metrics(other)
    before, now = (read_predictions(run / "evaluation/predictions.h5") for run in (one, other))
    np.testing.assert_array_equal(before.logits_NKA, now.logits_NKA)
    assert before.clip_names == now.clip_names


@pytest.mark.long
def test_folds_side_by_side_are_what_each_is_alone(
    in_two: tuple[Path, Finished], distinct: Path, tmp_path: Path
) -> None:
    run, _ = in_two
    experiment = leaving_one_out(distinct)
    folds = choose(LeaveOneSubjectOut().make_folds(experiment.data), NAMES)
    with chdir(tmp_path):
        for fold in folds:
            alone = finetune(experiment.in_fold(fold, None), console=Console(quiet=True)).folder
            assert_same_fold(run / "folds" / fold.name, alone)


@pytest.mark.long
def test_a_run_in_folds_holds_that_of_each_and_their_summary(in_two: tuple[Path, Finished]) -> None:
    run, finished = in_two
    assert {path.name for path in run.iterdir()} == {
        *("experiment.json", "experiment.py", "environment.json", "state.json", "log.txt", "summary.json", "folds")
    }
    assert {path.name for path in (run / "folds").iterdir()} == set(NAMES)
    summary = json.loads((run / "summary.json").read_text())
    assert [fold["subjects"] for fold in summary["folds"].values()] == [["Subject01"], ["Subject05"]]
    assert summary["unfinished"] == {"02": None}
    for name in NAMES:
        lines = [line for line in finished.stderr.splitlines() if line.startswith(f"{name}  ")]
        assert sum("epoch" in line for line in lines) == 3  # how long it will be, and two that it was
        assert all(line in (run / "log.txt").read_text() for line in lines)
        assert f"\n{name} " in finished.stdout
    assert f"{run.resolve().relative_to(run.parent.parent.resolve())}/summary.json" in finished.stdout


@pytest.mark.long
def test_folds_that_are_done_stay_as_they_are(in_two: tuple[Path, Finished], distinct: Path, tmp_path: Path) -> None:
    run, _ = in_two
    shutil.copytree(run, tmp_path / "runs/leaving_one_out/20260101-000000", symlinks=True)
    with chdir(tmp_path):
        again = cross_validate(leaving_one_out(distinct), resume="newest", only=NAMES, console=Console(quiet=True))
        assert again.failures == {}
        assert again.summary == json.loads((run / "summary.json").read_text())
        with pytest.raises(ConfigError, match=r"(?s)optim.lr: 0.0001 -> 0.1.*--set optim.lr=..."):
            cross_validate(leaving_one_out(distinct, "optim.lr=0.1"), resume=again.folder)
        with pytest.raises(ConfigError, match=r"one fold of a run; use --resume .*20260101-000000 --fold 02"):
            cross_validate(leaving_one_out(distinct), resume=str(again.folder / "folds/02"))
        with pytest.raises(ConfigError, match="not a run folder, or a run without folds"):
            cross_validate(leaving_one_out(distinct), resume=Path("runs"))


@pytest.mark.long
def test_a_run_in_folds_has_no_checkpoint_of_its_own(in_two: tuple[Path, Finished]) -> None:
    run, _ = in_two
    finished = call("evaluate", "--ckpt", run, cwd=run.parent)
    assert finished.returncode == 2
    assert f"this is a run with folds; pass one of them, such as {run}/folds/01" in finished.stderr


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--set", "folds=none"), "--fold: this experiment has no folds"),
        (("--cluster-set", "mem_gb=4"), "--cluster-set requires --cluster"),
        (("--cluster", "local", "--cluster-set", "mem_gb"), "write it as NAME=VALUE"),
        (("--fold", "03"), "--fold 03: no such fold"),
        (("--set", "data.train_subjects=01,02"), "2 subjects are too few to leave one out"),
        (("--pretrain", "nowhere.py"), "nowhere.py: no such experiment file"),
    ],
)
def test_folds_that_cannot_be_are_refused_before_anything_is_written(
    options: tuple[str, ...], told: str, distinct: Path, tmp_path: Path
) -> None:
    finished = call(*command(distinct), *options, cwd=tmp_path)
    assert (finished.returncode, list(tmp_path.iterdir())) == (2, [])
    assert told in finished.stderr
    assert "Traceback" not in finished.stderr


@pytest.mark.long
def test_folds_one_after_the_other_are_what_they_are_side_by_side(
    in_two: tuple[Path, Finished], distinct: Path, tmp_path: Path
) -> None:
    run, side_by_side = in_two
    finished = succeed(*command(distinct), cwd=tmp_path)
    for name in NAMES:
        assert_same_fold(run / "folds" / name, tmp_path / "runs/latest/folds" / name)
    assert (run / "summary.json").read_bytes() == (tmp_path / "runs/latest/summary.json").read_bytes()
    assert finished.stdout.splitlines()[:-2] == side_by_side.stdout.splitlines()[:-2]


@pytest.mark.long
def test_a_fold_that_fails_is_named_and_run_again_alone(distinct: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(distinct, tmp_path / "dataset"))
    damaged = root / "Subject02/0000.csv"
    whole = damaged.read_text()
    header, first, *rows = whole.splitlines()
    damaged.write_text("\n".join([header, f"nan,{first.partition(',')[2]}", *rows]))
    finished = rxclip("finetune", f"{FILE}:InTwo", "--set", f"data.root={root}", cwd=tmp_path)
    assert finished.returncode == 1
    assert "Traceback" not in finished.stderr
    assert re.search(rf"^error: fold two: Subject02/0000, window at .*{damaged}", finished.stderr, flags=re.MULTILINE)
    run = tmp_path / "runs/latest"
    summary = json.loads((run / "summary.json").read_text())
    assert list(summary["folds"]) == ["one"]
    assert str(damaged) in summary["unfinished"]["two"]
    damaged.write_text(whole)
    begun = (run / "folds/one/log.txt").read_text()
    (again,) = (line.partition("again: ")[2] for line in finished.stderr.splitlines() if "again: " in line)
    repaired = succeed(*shlex.split(again)[1:], cwd=tmp_path)
    assert "Without a result" not in repaired.stdout
    assert list(json.loads((run / "summary.json").read_text())["folds"]) == ["one", "two"]
    assert (run / "folds/one/log.txt").read_text() == begun
    assert len(list(run.resolve().parent.iterdir())) == 1


@pytest.mark.long
def test_folds_that_were_stopped_end_as_if_they_had_not_been(
    in_two: tuple[Path, Finished], distinct: Path, tmp_path: Path
) -> None:
    run, _ = in_two
    printed = tmp_path / "printed.txt"
    process = warm_process.start(
        [*command(distinct), "--jobs", "2"], cwd=tmp_path, out=printed, err=printed, new_session=True
    )
    while (not printed.is_file() or "epoch 1/2" not in printed.read_text()) and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=120) == 128 + signal.SIGTERM
    assert "stopped: SIGTERM" in printed.read_text()
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    succeed(*command(distinct), "--resume", cwd=tmp_path)
    assert len(list((tmp_path / "runs/leaving_one_out").iterdir())) == 1
    for name in NAMES:
        assert_same_fold(run / "folds" / name, tmp_path / "runs/latest/folds" / name)


@pytest.mark.long
def test_a_changed_experiment_leaves_no_fold_done(
    in_two: tuple[Path, Finished], distinct: Path, tmp_path: Path
) -> None:
    run, _ = in_two
    shutil.copytree(run, tmp_path / "runs/leaving_one_out/20260101-000000", symlinks=True)
    overrides = ("--set", f"data.root={distinct}", "--set", "trainer.max_epochs=3")
    succeed("finetune", f"{FILE}:LeavingOneOut", *overrides, "--resume", "--fold", "01", cwd=tmp_path)
    again = tmp_path / "runs/latest"
    summary = json.loads((again / "summary.json").read_text())
    assert (list(summary["folds"]), list(summary["unfinished"])) == (["01"], ["02", "05"])
    assert len(logged(again / "folds/01", "val/loss")) == 3
    assert (again / "folds/05/checkpoints/last.ckpt").is_file()


@pytest.mark.long
def test_a_fold_pretrains_an_encoder_that_a_user_has_defined(distinct: Path, tmp_path: Path) -> None:
    (tmp_path / "dataset").symlink_to(distinct)
    sets = ("--set", "folds.pretrain.batch_size=4", "--fold", "01")
    arguments = ("finetune", f"{FILE}:LeavingOneOut", "--pretrain", EXPERIMENT, *sets)
    succeed(*arguments, cwd=tmp_path)
    fold = tmp_path / "runs/latest/folds/01"
    assert (fold / "experiment.py").read_bytes() == FILE.read_bytes()
    inner = json.loads((fold / "pretraining/experiment.json").read_text())
    assert (inner["imu"]["type"], inner["data"]["train_subjects"], inner["batch_size"]) == ("TCN", ["05"], 4)
    predictions = fold / "evaluation/predictions.h5"
    predictions.unlink()
    moved = tmp_path / "runs/leaving_one_out/20260101-000000"
    (tmp_path / "runs/latest").resolve().rename(moved)
    succeed(*arguments, "--resume", moved, cwd=tmp_path)
    assert (moved / "folds/01/evaluation/predictions.h5").is_file()


@pytest.mark.long
def test_folds_are_jobs_of_submitit(in_two: tuple[Path, Finished], distinct: Path, tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    run, _ = in_two
    cluster = ("--cluster", "local", "--cluster-set", "timeout_min=5")
    succeed(*command(distinct)[: -len(TWO)], "--fold", "01", *cluster, cwd=tmp_path)
    assert_same_fold(run / "folds/01", tmp_path / "runs/latest/folds/01")
    (one,) = json.loads((tmp_path / "runs/latest/summary.json").read_text())["folds"].values()
    assert one == json.loads((run / "summary.json").read_text())["folds"]["01"]
