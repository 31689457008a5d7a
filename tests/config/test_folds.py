"""Folds: their subjects, their initial encoder, and their summary."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import chdir
from dataclasses import replace
from io import StringIO
from itertools import pairwise
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import pytest
from pydantic import ValidationError
from rich.console import Console
from sklearn.metrics import f1_score
from support.made_predictions import made_predictions
from support.small_finetuning import finetuning
from support.small_run import built_in_experiment

from revalexo_clip.config.finetuning import FinetuneExperiment
from revalexo_clip.config.folds import Fold, Folds, LeaveOneSubjectOut, choose
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.data import Recordings
from revalexo_clip.evaluation.storage import write_predictions
from revalexo_clip.finetuning.cross_validation import FoldGroup, cross_validate, pretraining_in, summarize
from revalexo_clip.finetuning.part import run_part, task_of
from revalexo_clip.finetuning.run import finetune
from revalexo_clip.metrics.evaluated import Predictions
from revalexo_clip.reports.terminal.folds import fold_report
from revalexo_clip.reports.values import child
from revalexo_clip.runs.checkpoint import load_checkpoint
from revalexo_clip.runs.classifier_checkpoint import load_classifier_checkpoint
from revalexo_clip.runs.folder import forget_run_folder
from revalexo_clip.runs.options import RunOptions
from revalexo_clip.runs.part_folder import PartFolder, write_experiment

pytestmark = pytest.mark.filterwarnings("ignore:::lightning", "ignore:This DataLoader will create")

NEW: dict[str, object] = {"imu": {"type": "DeepConvLSTM", "maps": 4, "hidden": 8}, "embed_dim": 16}


def in_folds(root: Path, fields: dict[str, object], encoder: Path | None = None) -> FinetuneExperiment:
    """Leave out each of the small activity classifier's five subjects in turn."""
    return finetuning(root, encoder, **{"folds": {"type": "LeaveOneSubjectOut"}} | fields)


def with_pretraining(root: Path) -> FinetuneExperiment:
    inside = built_in_experiment(root, name="inside").model_dump(mode="json")
    folds = {"type": "LeaveOneSubjectOut", "pretrain": inside}
    return in_folds(root, {"folds": folds, "trainer": {"max_epochs": 1, "accelerator": "cpu"}})


@pytest.mark.parametrize("validation", [1, 2, 3])
def test_each_subject_is_tested_once_and_nobody_has_two_parts(validation: int) -> None:
    data = in_folds(Path("dataset"), NEW).data
    folds = LeaveOneSubjectOut(validation=validation).make_folds(data)
    assert [fold.test for fold in folds] == [("01",), ("02",), ("08",), ("05",), ("09",)]
    for fold in folds:
        assert len(fold.val) == validation
        assert sorted(fold.train + fold.val + fold.test) == ["01", "02", "05", "08", "09"]
        data.split(fold.train, fold.val, fold.test)  # which refuses a subject that is named twice
    assert folds[3].val == ("09", "01", "02")[:validation]


def test_too_few_subjects_are_refused() -> None:
    data = in_folds(Path("dataset"), NEW).data.split(("01", "02"), ("08",), ())
    with pytest.raises(ConfigError, match="3 subjects are too few to leave one out, validate on 2 and train on others"):
        LeaveOneSubjectOut(validation=2).make_folds(data)


@pytest.mark.parametrize(
    ("names", "told"),
    [(("a", "a"), "2 folds are named a"), (("a/b",), "'a/b' cannot be the name of a folder"), ((), "makes no folds")],
)
def test_folds_of_ones_own_need_names_that_tell_them_apart(
    names: tuple[str, ...], told: str, only_built_in: None
) -> None:
    class Named(Folds):
        def split(self, data: Recordings) -> Iterable[Fold]:
            return [Fold(name, ("01",), ("02",), ("05",)) for name in names]

    with pytest.raises(ConfigError, match=told):
        Named().make_folds(in_folds(Path("dataset"), NEW).data)


def test_a_fold_that_is_not_there_is_told_from_those_that_are() -> None:
    folds = LeaveOneSubjectOut().make_folds(in_folds(Path("dataset"), NEW).data)
    assert [fold.name for fold in choose(folds, ["09", "02"])] == ["02", "09"]
    with pytest.raises(ConfigError, match=r"--fold 9: no such fold.*known: 01, 02, 05, 08, 09"):
        choose(folds, ["9"])


def test_a_fold_is_the_experiment_on_other_subjects() -> None:
    experiment = in_folds(Path("dataset"), NEW)
    fold = LeaveOneSubjectOut().make_folds(experiment.data)[0]
    expected = experiment.model_dump() | {"folds": None}
    expected["data"] |= {"train_subjects": ("08", "05", "09"), "val_subjects": ("02",), "test_subjects": ("01",)}
    assert experiment.in_fold(fold, None).model_dump() == expected


def test_the_pretraining_of_a_fold_never_uses_its_test_subjects() -> None:
    experiment = with_pretraining(Path("dataset"))
    inner = experiment.pretraining
    assert inner is not None
    for fold in LeaveOneSubjectOut().make_folds(experiment.data):
        data = pretraining_in(fold, inner).data
        assert (data.subjects("train"), data.subjects("val"), data.subjects("test")) == (fold.train, fold.val, ())


def test_the_initial_encoder_of_folds_is_given_once() -> None:
    inside = with_pretraining(Path("dataset")).model_dump(mode="json")
    for field, value in {"encoder": "runs/demo", "from_scratch": True, "imu": NEW["imu"], "standardize": True}.items():
        with pytest.raises(ValidationError, match=f"{field}: .*folds.pretrain"):
            FinetuneExperiment.model_validate(inside | {field: value})


def test_an_experiment_in_folds_is_not_trained_as_one() -> None:
    with pytest.raises(ConfigError, match="folds: finetune trains one activity classifier"):
        finetune(in_folds(Path("dataset"), NEW))


@pytest.mark.long
def test_an_encoder_trained_on_test_subjects_is_refused_before_anything_is_written(
    distinct: Path, trained_run: Path, tmp_path: Path
) -> None:
    experiment = in_folds(distinct, {}, trained_run)
    seen = r"(?si)Subject01, Subject02.*Subject08.*pretrain in each fold \(--pretrain FILE.py\)"
    with chdir(tmp_path), pytest.raises(ConfigError, match=seen):
        cross_validate(experiment)
    with chdir(tmp_path), pytest.raises(ConfigError, match=r"(?s)^(?!.*Subject0[18]).*Subject02"):
        cross_validate(experiment, only=["02", "05", "09"])
    assert list(tmp_path.iterdir()) == []


def test_an_experiment_without_folds_is_not_cross_validated() -> None:
    with pytest.raises(ConfigError, match=r"folds: this experiment has no folds; set `folds`, or .* finetune"):
        cross_validate(finetuning(Path("dataset"), None, **NEW))


def test_folds_that_are_done_are_summarized_by_the_verb_alone(
    distinct: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = in_folds(distinct, NEW)
    run = tmp_path / "runs/classifier/20260101-000000"
    for name in ("01", "02", "08", "05", "09"):
        write_predictions(run / "folds" / name / "evaluation/predictions.h5", made_predictions(subjects=1), {})
    write_experiment(run, experiment)
    source = tmp_path / "mine.py"
    source.write_text("# an experiment")
    with chdir(tmp_path):
        done = cross_validate(experiment, str(source), resume=str(run))
        assert cross_validate(experiment, resume="newest").folder == run.relative_to(tmp_path)
    assert (done.failures, list(child(done.summary, "folds"))) == ({}, ["01", "02", "08", "05", "09"])
    assert json.loads((run / "summary.json").read_text()) == done.summary
    assert (run / "experiment.py").read_text() == "# an experiment"
    assert ": 5 folds, 0 to do" in (run / "log.txt").read_text()
    assert capsys.readouterr().out == ""


def test_at_least_one_fold_runs_at_a_time(tmp_path: Path) -> None:
    with chdir(tmp_path), pytest.raises(ConfigError, match="jobs: 0 is less than 1"):
        cross_validate(in_folds(Path("dataset"), NEW), jobs=0)


@pytest.mark.long
def test_a_fold_begins_with_the_encoder_of_its_own_pretraining(distinct: Path, tmp_path: Path) -> None:
    folder, console = PartFolder(Path("runs/classifier/20260101-000000/folds/01")), Console(quiet=True)
    part = FoldGroup(with_pretraining(distinct)).parts[0]
    assert (part.name, part.experiment.data.subjects("test")) == ("01", ("01",))
    with chdir(tmp_path):
        commands = task_of(part, folder, None, RunOptions(overrides=["folds.pretrain.seed=3", "optim.lr=1"])).commands
        try:
            for pretraining in (folder.pretraining, None):
                run_part(folder.path, console, None, RunOptions(), pretraining=pretraining)
        finally:
            forget_run_folder()
        pretrained = load_checkpoint(folder.pretraining / "checkpoints/best.ckpt").description
        classifier = load_classifier_checkpoint(folder.path / "checkpoints/best.ckpt").description
        assert folder.predictions.is_file()
    assert pretrained.subjects == {"train": ("Subject05", "Subject08", "Subject09"), "val": ("Subject02",)}
    assert classifier.pretrained_on == classifier.subjects == pretrained.subjects
    assert classifier.experiment.encoder == folder.pretraining
    changed = [[after for word, after in pairwise(command) if word == "--changed"] for command in commands]
    assert changed == [["seed"], ["folds.pretrain.seed", "optim.lr", "encoder"]]
    assert ["--pretraining" in command for command in commands] == [True, False]


def three(tmp_path: Path) -> tuple[dict[str, Predictions], dict[str, Path]]:
    """Predictions of three subjects; those of the last one have no transitions."""
    found = {name: made_predictions(subjects=1, clips=3, seed=seed) for seed, name in enumerate("abc")}
    found["c"] = replace(found["c"], transition_NK=np.zeros_like(found["c"].transition_NK))
    files = {name: tmp_path / name / "predictions.h5" for name in found}
    for name, path in files.items():
        write_predictions(path, found[name], {})
    return found, files


def test_the_summary_is_what_scikit_learn_says_of_each_fold_and_of_all(tmp_path: Path) -> None:
    found, files = three(tmp_path)
    summary = json.loads(json.dumps(summarize(files, "abcd", {"d": "lost"}), allow_nan=False))
    assert summary["unfinished"] == {"d": "lost"}
    for k, horizon in enumerate((0.0, 0.5)):
        for among in ("all", "transition"):
            expected: list[float] = []
            pooled: tuple[list[int], list[int]] = [], []
            for name, one in found.items():
                rows = (one.label_NK[:, k] >= 0) & (one.transition_NK[:, k] | (among == "all"))
                true, said = one.label_NK[rows, k], one.logits_NKA[rows, k].argmax(axis=1)
                pooled[0].extend(true)
                pooled[1].extend(said)
                row = summary["folds"][name]["horizons"][k]
                assert (row["horizon"], row[among]["windows"]) == (horizon, rows.sum())
                if rows.any():
                    expected.append(f1_score(true, said, average="weighted"))
                    assert row[among]["weighted_f1"] == pytest.approx(expected[-1])
                else:
                    assert row[among]["weighted_f1"] is None
            assert summary["mean"][k][among]["folds"] == len(expected) == (3 if among == "all" else 2)
            assert summary["mean"][k][among]["weighted_f1"] == pytest.approx(fmean(expected))
            assert summary["deviation"][k][among]["weighted_f1"] == pytest.approx(stdev(expected))
            everything = summary["pooled"]["horizons"][k][among]
            assert everything["weighted_f1"] == pytest.approx(f1_score(*pooled, average="weighted"))


def test_predictions_of_other_activities_are_not_summed_up(tmp_path: Path) -> None:
    found, files = three(tmp_path)
    write_predictions(files["b"], replace(found["b"], activities=("lying", *found["b"].activities[1:])), {})
    with pytest.raises(DataError, match=r"b/predictions.h5: the activities or horizons differ from those of a"):
        summarize(files, "abc", {})


def test_the_report_has_a_row_for_each_fold_and_says_which_have_none(tmp_path: Path) -> None:
    _, files = three(tmp_path)
    console = Console(width=80, file=StringIO(), record=True)
    for part in fold_report(summarize(files, "abcd", {"d": "lost"})):
        console.print(part)
    printed = console.export_text().splitlines()
    rows = [line.split()[0] for line in printed if line.count("%") == 5 and "±" not in line]
    assert rows == ["a", "b", "mean", "deviation", "all"]
    assert [line.split()[0] for line in printed if line.count("%") == 4] == ["c"]  # which has no transitions
    assert [line.split()[0] for line in printed if line.count("±") == 5] == ["0", "0.5"]
    assert "Without a result: d." in printed
    assert max(map(len, printed)) <= 80


def test_there_is_no_deviation_of_one_fold(tmp_path: Path) -> None:
    _, files = three(tmp_path)
    console = Console(width=80, file=StringIO(), record=True)
    for part in fold_report(summarize({"a": files["a"]}, "a", {})):
        console.print(part)
    assert "±" not in console.export_text()


def test_the_summary_names_tested_activities_that_a_fold_was_not_trained_on(tmp_path: Path) -> None:
    found, files = three(tmp_path)
    tested = found["b"].activities[found["b"].label_NK.max()]
    files["b"].with_name("metrics.json").write_text(json.dumps({"never_trained": [tested, "never"]}))
    folds = summarize(files, "abc", {})["folds"]
    assert isinstance(folds, dict)
    assert {name: child(folds, name)["never_trained"] for name in folds} == {"a": None, "b": [tested], "c": None}
