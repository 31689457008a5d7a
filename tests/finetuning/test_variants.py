"""Variants: the fields that each one changes, equal settings otherwise, and comparisons from the command line."""

from __future__ import annotations

import fcntl
import json
import shlex
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import JsonValue
from support.made_variants import KINDS
from support.small_finetuning import finetuning
from support.small_process import Finished, call, succeed
from support.small_training import logged

from revalexo_clip.config.finetuning import FinetuneExperiment, Freezing
from revalexo_clip.config.loading import load_experiment_of
from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.data.batches import EpochSampler
from revalexo_clip.evaluation.storage import read_predictions
from revalexo_clip.finetuning.build import FinetuneSetup, build_finetune_setup
from revalexo_clip.finetuning.part import Part, task_of
from revalexo_clip.finetuning.variant_comparison import labelled_windows
from revalexo_clip.finetuning.variants import Variant, make_variants
from revalexo_clip.metrics.blocks import units_of
from revalexo_clip.metrics.bootstrap import TimeBootstrap
from revalexo_clip.metrics.paired_differences import compare_classifiers
from revalexo_clip.reports.values import child, children
from revalexo_clip.runs.options import RunOptions
from revalexo_clip.runs.part_folder import PartFolder
from revalexo_clip.runs.resume import differences
from revalexo_clip.training.drawn_batches import TrainingBatch

pytestmark = pytest.mark.filterwarnings("ignore:::lightning", "ignore:This DataLoader will create")

FILE = Path(__file__).parents[1] / "support" / "variants_experiment.py"


@pytest.mark.parametrize(
    ("own", "kind", "from_scratch", "freezing"),
    [
        (Freezing(epochs=2, every=1), "scratch", True, Freezing()),
        (Freezing(epochs=2, every=1), "frozen", False, Freezing(epochs="all")),
        (Freezing(epochs=2, every=1), "full", False, Freezing(epochs=2, every=1)),
        (Freezing(epochs="all"), "full", False, Freezing()),
    ],
)
def test_a_variant_changes_how_the_encoder_begins_and_nothing_else(
    own: Freezing, kind: str, from_scratch: bool, freezing: Freezing
) -> None:
    experiment = finetuning(Path("nowhere"), Path("somewhere"), freezing=own, from_scratch=True, seed=7)
    variant = Variant(kind, 0.1).apply_to(experiment)
    assert (variant.from_scratch, variant.freezing, variant.label_fraction) == (from_scratch, freezing, 0.1)
    changed = differences(experiment.model_dump(mode="json"), variant.model_dump(mode="json"))
    assert {path.partition(".")[0] for path in changed} <= {"from_scratch", "freezing", "label_fraction"}


def test_variants_are_named_by_kind_and_percent() -> None:
    variants = make_variants(("full", "scratch"), (1.0, 0.07, 0.005))
    assert [variant.name for variant in variants] == [
        *("full-0.5", "scratch-0.5", "full-7", "scratch-7", "full-100", "scratch-100")
    ]


@pytest.fixture(scope="module")
def parts(distinct: Path, trained_run: Path) -> dict[str, FinetuneSetup]:
    """Each variant has half of the labels, and dropout and a hidden layer in its head."""
    experiment = finetuning(distinct, trained_run, head={"type": "LinearHeads", "hidden": 6}, batch_size=4)
    return {kind: build_finetune_setup(Variant(kind, 0.5).apply_to(experiment)) for kind in KINDS}


@pytest.mark.long
def test_all_variants_begin_with_the_same_heads(parts: dict[str, FinetuneSetup]) -> None:
    heads = [part.model.heads.state_dict() for part in parts.values()]
    assert len(heads[0]) == 4
    assert all(torch.equal(tensor, other[name]) for other in heads[1:] for name, tensor in heads[0].items())


def test_their_encoders_are_new_or_pretrained_and_frozen_or_not(parts: dict[str, FinetuneSetup]) -> None:
    encoders = {kind: part.model.encoder("imu") for kind, part in parts.items()}
    weights = {kind: torch.cat([one.flatten() for one in encoder.parameters()]) for kind, encoder in encoders.items()}
    assert torch.equal(weights["frozen"], weights["full"])
    assert (weights["scratch"] == weights["full"]).float().mean() < 0.01
    trained = {kind for kind, encoder in encoders.items() if all(one.requires_grad for one in encoder.parameters())}
    assert trained == {"scratch", "full"}
    assert not any(one.requires_grad for one in encoders["frozen"].parameters())


def test_all_variants_see_the_same_windows_and_draws_in_the_same_order(
    parts: dict[str, FinetuneSetup],
) -> None:
    scratch, frozen, full = ([*two_epochs(part)] for part in parts.values())
    assert len(full) == 2 * 4
    assert len({batch.windows.start_B.sum().item() for batch in full}) > 4
    for one, other, third in zip(scratch, frozen, full, strict=True):
        for field, tensor in third.windows._asdict().items():
            assert torch.equal(getattr(one.windows, field), tensor)
            assert torch.equal(getattr(other.windows, field), tensor)
        assert torch.equal(one.draws.imu[0], third.draws.imu[0])
        assert torch.equal(other.draws.imu[0], third.draws.imu[0])


def two_epochs(part: FinetuneSetup) -> Iterator[TrainingBatch]:
    loader = part.data.train_dataloader()
    assert isinstance(loader.sampler, EpochSampler)
    for epoch in range(2):
        loader.sampler.set_epoch(epoch)
        yield from loader


def test_training_windows_are_those_that_come_in_training(parts: dict[str, FinetuneSetup]) -> None:
    part, rng = parts["full"], np.random.default_rng(0)
    come = {index for epoch in range(20) for index in part.data.compose(epoch, rng).ravel().tolist()}
    assert labelled_windows(part.train, 0.5, part.experiment.seed) == len(come) < len(part.train)
    assert labelled_windows(part.train, 1.0, part.experiment.seed) == (part.train.labels(0)[:, 0] >= 0).sum()


def command(root: Path, encoder: Path, *kinds: str, labels: str = "0.5") -> tuple[str, ...]:
    said = ("--set", f"data.root={root}", "--set", f"encoder={encoder}")
    return ("finetune", str(FILE), *said, "--compare", ",".join(kinds or ("scratch", "full")), "--labels", labels)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--compare", "scratch,ful"), "--compare ful: no such variant; did you mean 'full'?"),
        (("--compare", "full,full"), "--compare: full is named twice"),
        (("--compare", "full"), "--compare full: name at least two variants"),
        (("--labels", "1%,1"), "--labels 1%,1: write shares as numbers"),
        (("--labels", "10"), "--labels 10: a share of the labels must be above 0 and at most 1"),
        (("--labels", "1,1"), "--labels 1,1: a share is given twice"),
        (
            ("--set", "encoder=none", "--set", "imu.type=DeepConvLSTM"),
            "variants start from a pretrained encoder",
        ),
        (("--set", "folds.type=LeaveOneSubjectOut"), "folds: variants are compared on one split"),
        (("--set", "data.test_subjects=[]"), "variants are compared on test subjects, and there are none"),
        (
            ("--set", "data.train_subjects=02", "--set", "data.test_subjects=01"),
            "Subject01",
        ),
        (("--set", "batch_size=99"), "batch_size: a batch of 99 is larger than the training set"),
        (("--fold", "01"), "--fold: this experiment has no folds"),
        (("--resume", "runs/nowhere"), "not a run folder, or a run without variants"),
    ],
)
def test_variants_that_cannot_be_are_refused_before_anything_is_written(
    options: tuple[str, ...], told: str, distinct: Path, trained_run: Path, tmp_path: Path
) -> None:
    finished = call(*command(distinct, trained_run), *options, cwd=tmp_path)
    assert (finished.returncode, list(tmp_path.iterdir())) == (2, [])
    assert told in finished.stderr
    assert "Traceback" not in finished.stderr


@pytest.mark.long
def test_a_dry_run_names_the_comparison_that_would_be_resumed(
    distinct: Path, trained_run: Path, tmp_path: Path
) -> None:
    run = tmp_path / "runs/in_variants/20260101-000000"
    (run / "variants/scratch-50/evaluation").mkdir(parents=True)
    (run / "variants/scratch-50/evaluation/predictions.h5").touch()
    (run / "variants/full-50").mkdir()
    experiment = load_experiment_of(FinetuneExperiment, str(FILE), [f"data.root={distinct}", f"encoder={trained_run}"])
    (run / "experiment.json").write_text(experiment.to_json())
    planned = (*command(distinct, trained_run), "--dry-run", "--resume")
    assert (
        call(*planned, cwd=tmp_path).stdout.splitlines()[-1]
        == "from   runs/in_variants/20260101-000000: 1 variant done"
    )
    (run / "experiment.json").write_text(experiment.model_copy(update={"seed": 5}).to_json())
    refused = call(*planned, cwd=tmp_path)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "seed: 5 -> 42" in refused.stderr
    changed = call(*planned, "--set", "seed=42", cwd=tmp_path)
    assert changed.stdout.splitlines()[-1] == "from   runs/in_variants/20260101-000000: 0 variants done"


def test_processes_of_a_run_do_not_import_files_that_failed(distinct: Path, tmp_path: Path) -> None:
    """A file of another experiment, which this process could not import, would end each of them with its error."""
    failed = tmp_path / "failed.py"
    failed.write_text("x = 1 / 0\n")
    with pytest.raises(ConfigError, match="ZeroDivisionError"):
        load_experiment_of(FinetuneExperiment, str(failed))
    experiment = load_experiment_of(FinetuneExperiment, str(FILE), [f"data.root={distinct}"])
    task = task_of(Part("full-50", experiment), PartFolder(tmp_path / "full-50"), FILE, RunOptions())
    (command,) = task.commands
    imported = [command[place + 1] for place, part in enumerate(command) if part == "--experiment"]
    assert str(FILE) in imported
    assert str(failed) not in imported


def test_labels_are_for_a_comparison(distinct: Path, tmp_path: Path) -> None:
    finished = call("finetune", FILE, "--set", f"data.root={distinct}", "--labels", "0.1", cwd=tmp_path)
    assert finished.returncode == 2
    assert "--labels requires --compare; for a single training, use --set label_fraction=..." in finished.stderr


@pytest.fixture(scope="module")
def compared(distinct: Path, trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Finished]:
    """A run with two variants at a time, and its output. Do not change it."""
    folder = tmp_path_factory.mktemp("compared")
    finished = succeed(*command(distinct, trained_run), "--jobs", "2", cwd=folder)
    return folder / "runs/latest", finished


@pytest.mark.long
def test_a_comparison_is_a_run_that_holds_that_of_each_variant(compared: tuple[Path, Finished]) -> None:
    run, finished = compared
    assert {path.name for path in run.iterdir()} == {
        *(
            "experiment.json",
            "experiment.py",
            "environment.json",
            "state.json",
            "log.txt",
            "comparison.json",
            "report.html",
            "variants",
        )
    }
    assert {path.name for path in (run / "variants").iterdir()} == {"scratch-50", "full-50"}
    assert ": 2 trainings (2 variants; 50% of the labels), 2 to do" in finished.stderr
    told = json.loads((run / "comparison.json").read_text())
    scratch, full = (
        read_predictions(run / f"variants/{name}-50/evaluation/predictions.h5") for name in ("scratch", "full")
    )
    (label,) = told["labels"]
    assert label["differences"]["full"] == compare_classifiers(full, scratch, TimeBootstrap(units_of(full)))
    assert label["training_windows"] == 8
    for name, begun in (("scratch", "new"), ("full", "from ")):
        assert f"{name}-50  imu" in finished.stderr
        described = FinetuneExperiment.from_json((run / f"variants/{name}-50/experiment.json").read_bytes())
        assert described == Variant(name, 0.5).apply_to(
            FinetuneExperiment.from_json((run / "experiment.json").read_bytes())
        )
        assert begun in next(line for line in finished.stderr.splitlines() if line.startswith(f"{name}-50  imu"))
        assert label["variants"][name]["seen"] == {"train": [], "val": []}
    assert "Did pretraining help? 10 windows of 2 clips, 2 test subjects" in finished.stdout
    assert finished.stdout.splitlines()[-1].endswith("/report.html")
    beside = call("evaluate", "--ckpt", run, cwd=run.parent)
    assert f"this is a run with variants; pass one of them, such as {run}/variants/full-50" in beside.stderr


@pytest.mark.long
def test_a_variant_that_fails_is_named_and_what_is_missing_is_done_by_resuming(
    compared: tuple[Path, Finished], distinct: Path, trained_run: Path, tmp_path: Path
) -> None:
    begun, _ = compared
    run = tmp_path / "runs/in_variants/20260101-000000"
    shutil.copytree(begun, run, symlinks=True)
    shutil.rmtree(run / "variants/full-50")
    (run / "variants/full-50").mkdir()
    kept = (run / "variants/scratch-50/log.txt").read_text()
    with (run / "variants/full-50/.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # as another process that is working on it
        failed = call(*command(distinct, trained_run), "--resume=newest", cwd=tmp_path)
    assert failed.returncode == 1
    assert ": 2 trainings (2 variants; 50% of the labels), 1 to do" in failed.stderr
    assert (
        "error: full-50: runs/in_variants/20260101-000000/variants/full-50: another process is working on it"
        in failed.stderr
    ), failed.stderr
    assert "Without a result: full-50." in failed.stdout
    assert list(json.loads((run / "comparison.json").read_text())["unfinished"]) == ["full-50"]
    (again,) = (line.partition("again: ")[2] for line in failed.stderr.splitlines() if "again: " in line)
    succeed(*shlex.split(again)[1:], cwd=tmp_path)
    assert (run / "variants/scratch-50/log.txt").read_text() == kept
    assert figures(run) == figures(begun)


@pytest.mark.long
def test_a_changed_experiment_leaves_no_variant_done(
    compared: tuple[Path, Finished], distinct: Path, trained_run: Path, tmp_path: Path
) -> None:
    begun, _ = compared
    run = tmp_path / "runs/in_variants/20260101-000000"
    shutil.copytree(begun, run, symlinks=True)
    resumed = (*command(distinct, trained_run), "--resume=newest", "--set", "trainer.max_epochs=2")
    succeed(*resumed, "--jobs", "2", cwd=tmp_path)
    for name in ("scratch-50", "full-50"):
        assert len(logged(run / "variants" / name, "val/loss")) == 2
    done = call(*command(distinct, trained_run), "--resume=newest", cwd=tmp_path)
    assert done.returncode == 2
    assert "trainer.max_epochs: 2 -> 1" in done.stderr


def labels_of(run: Path) -> list[JsonObject]:
    return children(json.loads((run / "comparison.json").read_text()), "labels")


def figures(run: Path) -> list[Mapping[str, JsonValue | list[JsonObject]]]:
    """Return the results in `comparison.json` without the names of checkpoints."""
    return [
        {"differences": label["differences"]}
        | {kind: [*children(label, "variants", kind, "horizons")] for kind in child(label, "variants")}
        for label in labels_of(run)
    ]
