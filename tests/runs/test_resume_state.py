"""What a resumed run needs is found in its checkpoint by constant names; if an entry is missing, the error names it."""

from __future__ import annotations

import re
import shutil
import signal
from contextlib import chdir
from pathlib import Path

import pytest
import torch
from support.interrupted_run import INTERRUPTED, Go, assert_same
from support.small_training import small

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import ConfigError, Interrupted
from revalexo_clip.pretraining import build
from revalexo_clip.pretraining import run as pretraining
from revalexo_clip.pretraining.run import pretrain
from revalexo_clip.runs.checkpoint import load_checkpoint
from revalexo_clip.runs.options import RunOptions
from revalexo_clip.runs.resume import find_resumed
from revalexo_clip.training import run as training
from revalexo_clip.training.callbacks import early_stopping, weight_averaging

pytest_plugins = ("support.interrupted_run",)
pytestmark = pytest.mark.filterwarnings("ignore:::lightning", "ignore:This DataLoader will create")

STATEFUL = ("trainer.early_stopping=3", "trainer.average=0.9")

CLASSES = (
    (build, "PairsDataModule"),
    (build, "ContrastiveModule"),
    (pretraining, "CollapseWarning"),
    (pretraining, "MemorisingWarning"),
    *((training, name) for name in ("BestCheckpoints", "LastCheckpoint", "EpochRow")),
    (early_stopping, "_EarlyStopping"),
    (weight_averaging, "Averaging"),
)

ENTRIES = (
    *("data_position", "schedule", "epoch_averages", "epoch_row", "between_subjects", "training_weights"),
    *("callbacks/best_checkpoints", "callbacks/early_stopping"),
    *("callbacks/collapse_warning", "callbacks/memorising_warning"),
)


def interrupt(go: Go, at: int) -> None:
    with pytest.raises(Interrupted):
        go(*STATEFUL, signal_at=f"{at}:{signal.SIGTERM}")


def content_of(checkpoint: Path) -> JsonObject:
    content: JsonObject = torch.load(checkpoint, weights_only=True)
    return content


def callback_states(run: Path) -> JsonObject:
    states = content_of(run / "checkpoints/last.ckpt")["callbacks"]
    assert isinstance(states, dict)
    return states


@pytest.mark.long
def test_a_run_is_resumed_exactly_if_all_stateful_classes_have_been_renamed(
    go: Go, written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "whole").mkdir()
    with chdir(tmp_path / "whole"):
        whole = tmp_path / "whole" / pretrain(small(written, *STATEFUL, file=INTERRUPTED), INTERRUPTED)
    interrupt(go, at=8)
    for module, name in CLASSES:
        monkeypatch.setattr(module, name, type(f"Renamed{name}", (getattr(module, name),), {}))
    run = go(*STATEFUL)
    assert_same(run, whole)
    before, after = callback_states(whole), callback_states(run)
    for key in ("early_stopping", "collapse_warning"):
        assert str(after[key]) == str(before[key])


@pytest.mark.long
def test_no_entry_of_a_checkpoint_is_named_after_a_class(go: Go) -> None:
    interrupt(go, at=8)
    run = go(*STATEFUL)
    entries = content_of(run / "checkpoints/last.ckpt")
    assert {entry.partition("/")[0] for entry in ENTRIES} <= set(entries)
    for name in (*entries, *callback_states(run)):
        assert re.fullmatch(r"[a-z][a-z_-]*", name)


@pytest.fixture(scope="module")
def interrupted(written: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was stopped in its second epoch."""
    folder = tmp_path_factory.mktemp("interrupted")
    with pytest.MonkeyPatch.context() as patch, chdir(folder):
        patch.setenv("SIGNAL_AT", f"8:{signal.SIGTERM}")
        with pytest.raises(Interrupted):
            pretrain(small(written, *STATEFUL, file=INTERRUPTED), INTERRUPTED)
    (run,) = (folder / "runs/small_interrupted").iterdir()
    return run


@pytest.mark.long
def test_the_entries_that_are_tested_are_all_that_a_resumed_run_needs(interrupted: Path) -> None:
    description = load_checkpoint(interrupted / "checkpoints/last.ckpt").description
    assert set(description.resume_entries()) == set(ENTRIES)


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_checkpoint_without_an_entry_is_not_resumed_and_the_error_names_it(
    interrupted: Path, written: Path, tmp_path: Path, entry: str
) -> None:
    run = Path(shutil.copytree(interrupted, tmp_path / "run"))
    path = run / "checkpoints/last.ckpt"
    content = within = content_of(path)
    *outer, key = entry.split("/")
    for name in outer:
        inner = within[name]
        assert isinstance(inner, dict)
        within = inner
    del within[key]
    torch.save(content, path)
    experiment = small(written, *STATEFUL, file=INTERRUPTED)
    with pytest.raises(ConfigError, match=rf"last\.ckpt lacks {entry}, which a resumed run needs"):
        find_resumed(experiment, RunOptions(run), load_checkpoint)
    assert load_checkpoint(path).step == 8, "it can still be evaluated"
