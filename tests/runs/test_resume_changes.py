"""What may change when a run is resumed, and what is refused."""

from __future__ import annotations

import json
import signal
from contextlib import chdir
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from support.interrupted_run import INTERRUPTED, Go, kept
from support.small_process import call
from support.small_training import logged, small, weights

from revalexo_clip.cli.app import spelled_out
from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import ConfigError, Interrupted
from revalexo_clip.optim import AdamW, cosine
from revalexo_clip.pretraining.run import dry_run_pretraining
from revalexo_clip.runs.options import RunOptions
from revalexo_clip.runs.resume import NEWEST, differences
from revalexo_clip.runs.resume_state import TRAINING_WEIGHTS

pytest_plugins = ("support.interrupted_run",)
pytestmark = pytest.mark.filterwarnings("ignore:::lightning", "ignore:This DataLoader will create")


@pytest.mark.long
def test_a_finished_run_is_left_alone_unless_it_is_to_be_longer(go: Go, written: Path, tmp_path: Path) -> None:
    run = go("trainer.max_epochs=1", signal_at="0:0")
    before = weights(run / "checkpoints/last.ckpt")
    assert go("trainer.max_epochs=1") == run
    assert all(torch.equal(value, before[name]) for name, value in weights(run / "checkpoints/last.ckpt").items())
    assert go("trainer.max_epochs=2") == run
    assert kept(run) == {*("best.ckpt", "last.ckpt", "previous.ckpt"), *kept_epochs(run)}
    assert len(kept_epochs(run)) == 2
    optim = small(written).optim
    assert isinstance(optim, AdamW)
    one, two = ([optim.rate(step, 5 * epochs) for step in range(5 * epochs)] for epochs in (1, 2))
    assert logged(run, "train/lr") == pytest.approx([*one, *two[5:]])
    assert json.loads((run / "experiment.json").read_text())["trainer"]["max_epochs"] == 2


def kept_epochs(run: Path) -> set[str]:
    return {name for name in kept(run) if name.startswith("epoch=")}


@pytest.mark.long
def test_early_stopping_keeps_its_patience_across_a_resume(go: Go, tmp_path: Path) -> None:
    patient = ("trainer.max_epochs=9", "optim.lr=1e-12", "optim.final_lr=0", "trainer.early_stopping=1")
    with pytest.raises(Interrupted):
        go(*patient, signal_at=f"7:{signal.SIGTERM}")
    run = go(*patient)
    losses = logged(run, "val/loss")
    assert losses[-1] >= min(losses[:-1])
    assert all(after < before for before, after in pairwise(losses[:-1]))
    epochs = kept_epochs(run)
    assert go(*patient) == run
    assert kept_epochs(run) == epochs
    go(*patient[:-1], "trainer.early_stopping=none", "trainer.max_epochs=5")
    assert len(logged(run, "val/loss")) == 5


@pytest.mark.long
def test_what_the_command_says_again_is_changed_from_there_on(go: Go) -> None:
    with pytest.raises(Interrupted):
        go(signal_at=f"3:{signal.SIGTERM}")
    run = go("optim.lr=2e-3", "data.workers=1", "trainer.checkpoint_minutes=5")
    rates = logged(run, "train/lr")
    assert rates[:3] == pytest.approx([cosine(step, 15, 1e-3, 1e-6) for step in range(3)])
    assert rates[3:] == pytest.approx([cosine(step, 15, 2e-3, 1e-6) for step in range(3, 15)])


def test_the_refusal_shows_what_differs(go: Go, written: Path, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        go("optim.lr=2e-3", "embed_dim=8", signal_at=f"3:{signal.SIGTERM}")
    with pytest.raises(ConfigError) as refused:
        go("embed_dim=8")
    shown = str(refused.value).splitlines()
    assert shown[0].endswith(": the experiment differs from the one that started this run:")
    assert shown[1:-1] == ["  optim.lr: 0.002 -> 0.001"]
    assert "--set optim.lr=..." in shown[-1]
    with pytest.raises(ConfigError, match=r"within an epoch of 5 steps, and the experiment now gives 10"):
        go("optim.lr=2e-3", "embed_dim=8", "batch_size=4")


def files(folder: Path) -> dict[Path, tuple[int, int]]:
    """Return the modification time and size of each file and link in a folder."""
    return {path: (path.lstat().st_mtime_ns, path.lstat().st_size) for path in folder.rglob("*")}


@pytest.mark.long
def test_a_dry_run_names_the_run_to_resume_and_writes_nothing(go: Go, written: Path, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        go(signal_at=f"3:{signal.SIGTERM}")
    run = (tmp_path / "runs/latest").readlink()
    before = files(tmp_path)

    def plan(*overrides: str, resume: Path | None = NEWEST) -> str | None:
        with chdir(tmp_path):
            experiment = small(written, *overrides, file=INTERRUPTED)
            return dry_run_pretraining(experiment, RunOptions(resume, overrides)).resumes_from

    assert plan() == f"resumes from runs/{run}/checkpoints/last.ckpt: 3 steps done, now in epoch 1"
    assert plan("optim.lr=2e-3", resume=Path("runs/latest")) == plan()
    assert plan(resume=None) is None
    with pytest.raises(ConfigError, match="within an epoch of 5 steps, and the experiment now gives 10"):
        plan("batch_size=4")
    printed = call(
        *("pretrain", INTERRUPTED, "--set", f"data.root={written}", "--set", "data.workers=0"),
        *("--dry-run", "--resume"),
        cwd=tmp_path,
    )
    assert printed.returncode == 0
    assert printed.stdout.splitlines()[-1] == plan()
    with (
        chdir(tmp_path),
        pytest.raises(ConfigError, match="differs from the one that started this run:\n  seed: 42 -> 1\n"),
    ):
        dry_run_pretraining(small(written, "seed=1", file=INTERRUPTED), RunOptions(NEWEST))
    assert files(tmp_path) == before
    go("trainer.max_epochs=1")
    assert (
        plan("trainer.max_epochs=1")
        == f"runs/{run} is finished: 1 epoch; to train longer, --set trainer.max_epochs=..."
    )


@pytest.mark.long
def test_a_run_is_not_resumed_on_other_data(go: Go, root: Path, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        go(f"data.root={root}", signal_at=f"3:{signal.SIGTERM}")
    go_on = partial(go, f"data.root={root}")
    recording = root / "imu/Subject01/0000.csv"
    content = recording.read_text()
    recording.write_text(content + content.splitlines()[-1])
    with pytest.raises(ConfigError, match="the files of the dataset have changed since this run started"):
        go_on()
    with chdir(tmp_path), pytest.raises(ConfigError, match="the files of the dataset have changed since this run"):
        dry_run_pretraining(small(root, file=INTERRUPTED), RunOptions(NEWEST))
    recording.write_text(content)
    go_on()


def test_differences_are_listed_by_path() -> None:
    before: JsonObject = {"a": 1, "b": {"type": "X", "c": [1, 2], "d": 0}, "e": [{"type": "Y", "f": 1}]}
    assert differences(before, before) == {}
    now: JsonObject = {"a": 1, "b": {"type": "X", "c": [1, 3, 4], "d": 0}, "e": [{"type": "Z", "g": 2}]}
    assert differences(before, now) == {"b.c": ([1, 2], [1, 3, 4]), "e.0.type": ("Y", "Z")}
    assert differences(before, {**before, "h": None}) == {}
    assert differences(before, {**before, "h": 5}) == {"h": (None, 5)}


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (["pretrain", "a.py", "--resume"], ["pretrain", "a.py", "--resume=newest"]),
        (["pretrain", "--resume", "a.py:B"], ["pretrain", "--resume=newest", "a.py:B"]),
        (["pretrain", "a.py", "--resume", "--set", "b=1"], ["pretrain", "a.py", "--resume=newest", "--set", "b=1"]),
        (["pretrain", "a.py", "--resume", "runs/a/1"], ["pretrain", "a.py", "--resume", "runs/a/1"]),
        (["pretrain", "a.py", "--resume=runs/a/1"], ["pretrain", "a.py", "--resume=runs/a/1"]),
    ],
)
def test_resume_needs_no_value(given: list[str], meant: list[str]) -> None:
    assert spelled_out(given) == meant


@pytest.mark.long
def test_without_averages_a_run_goes_on_from_the_training_weights(go: Go, untouched: Path) -> None:
    with pytest.raises(Interrupted):
        go("trainer.average=0.9", signal_at=f"8:{signal.SIGTERM}")
    run = go("trainer.average=none")
    state, expected = (weights(folder / "checkpoints/last.ckpt") for folder in (run, untouched))
    assert all(torch.equal(value, state[name]) for name, value in expected.items())
    content = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    assert TRAINING_WEIGHTS not in content


@pytest.mark.long
@pytest.mark.parametrize("before", ["none", "0.5"])
def test_averages_with_another_decay_do_not_change_the_training(go: Go, untouched: Path, before: str) -> None:
    with pytest.raises(Interrupted):
        go(f"trainer.average={before}", signal_at=f"8:{signal.SIGTERM}")
    run = go("trainer.average=0.9")
    content = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    expected = weights(untouched / "checkpoints/last.ckpt")
    assert all(torch.equal(value, content[TRAINING_WEIGHTS][name]) for name, value in expected.items())
    assert any(not torch.equal(value, content["state_dict"][name]) for name, value in expected.items())


@pytest.mark.long
@pytest.mark.parametrize("other", ["loss.type=SigLIP", "embed_dim=8", "imu.dilations=[1]"])
def test_a_model_with_other_weights_cannot_go_on(go: Go, other: str) -> None:
    with pytest.raises(Interrupted):
        go(signal_at=f"3:{signal.SIGTERM}")
    with pytest.raises(ConfigError, match=r"has other weights than the run that is resumed: .*; start a new run"):
        go(other)
