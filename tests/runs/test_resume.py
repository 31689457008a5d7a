"""A run that was interrupted and resumed is the run that was not."""

from __future__ import annotations

import json
import resource
import signal
from collections.abc import Callable
from contextlib import chdir
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint
from rich.console import Console
from support.small_process import EXPERIMENT, call, rxclip
from support.small_training import logged, metrics, small, weights

from revalexo_clip.cli.app import spelled_out
from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import ConfigError, DataError, Interrupted
from revalexo_clip.core.files import WriteError
from revalexo_clip.optim import AdamW, cosine
from revalexo_clip.pretraining.run import Pretraining, dry_run, pretrain
from revalexo_clip.runs.resume import NEWEST, differences

pytestmark = pytest.mark.filterwarnings("ignore:::lightning", "ignore:This DataLoader will create")

INTERRUPTED = EXPERIMENT.with_name("interrupted_experiment.py")

Go = Callable[..., Path]


@pytest.fixture
def go(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Go:
    """Train for 3 epochs of 5 steps, from where the newest run stands; `signal_at` interrupts it, as `step:signal`."""

    def run(*overrides: str, signal_at: str = "0:0", resume: Path | None = NEWEST) -> Path:
        monkeypatch.setenv("SIGNAL_AT", signal_at)
        experiment = small(written, *overrides, file=INTERRUPTED)
        with chdir(tmp_path):
            return tmp_path / pretrain(experiment, INTERRUPTED, resume=resume, overrides=overrides)

    return run


@pytest.fixture(scope="module")
def untouched(written: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nothing interrupts."""
    folder = tmp_path_factory.mktemp("untouched")
    with chdir(folder):
        return folder / pretrain(small(written, file=INTERRUPTED), INTERRUPTED)


def kept(run: Path) -> set[str]:
    return {path.name for path in (run / "checkpoints").iterdir()}


def assert_same(run: Path, untouched: Path) -> None:
    """Every checkpoint bit for bit, but for the second to last, and every row of the metrics."""
    assert kept(run) - {"last.damaged"} == kept(untouched)
    for name in kept(untouched) - {"previous.ckpt"}:
        expected, found = (weights(folder / "checkpoints" / name) for folder in (untouched, run))
        assert all(torch.equal(value, found[key]) for key, value in expected.items()), name
    assert (run / "checkpoints/best.ckpt").stat().st_nlink == 2
    assert metrics(run) == metrics(untouched)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_stopped_by_signals_ends_as_one_that_was_left_alone(go: Go, untouched: Path, workers: int) -> None:
    setting = f"data.workers={workers}"
    for number, at, step in (
        (signal.SIGTERM, 3, 3),
        (signal.SIGINT, 2, 5),
        (signal.SIGTERM, 1, 6),
        (signal.SIGINT, 5, 11),
    ):
        with pytest.raises(Interrupted, match=f"after step {step}; saved as .*last.ckpt") as stopped:
            go(setting, signal_at=f"{at}:{number}")
        assert stopped.value.exit_code == 128 + number
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    run = go(setting)
    assert_same(run, untouched)
    assert len(list(run.parent.iterdir())) == 1
    steps = [entry["step"] for entry in json.loads((run / "environment.json").read_text())["resumed"]]
    assert steps == [3, 5, 6, 11]
    log = (run / "log.txt").read_text()
    assert log.count(" INFO from ") == 4
    assert "stopped: SIGTERM, after step 3; saved as" in log
    assert log.count(" INFO epoch ") == 3


def test_a_run_that_is_stopped_again_before_it_took_a_step_loses_nothing(
    go: Go, untouched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Interrupted):
        go(signal_at=f"3:{signal.SIGTERM}")
    monkeypatch.setenv("SIGNAL_WHEN_LOADED", str(int(signal.SIGTERM)))
    with pytest.raises(Interrupted, match="after step 3; saved as"):
        go()
    monkeypatch.delenv("SIGNAL_WHEN_LOADED")
    assert_same(go(), untouched)


def test_a_second_ctrl_c_ends_at_once(go: Go, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SIGNAL_WHEN_LOADED", str(int(signal.SIGINT)))  # with every window of the first batch
    with pytest.raises(KeyboardInterrupt):
        go()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert kept(tmp_path / "runs/latest") == set()


@pytest.mark.slow
@pytest.mark.parametrize("minutes", ["0", "none"])
def test_a_run_that_was_killed_ends_as_one_that_was_left_alone(
    go: Go, written: Path, untouched: Path, tmp_path: Path, minutes: str
) -> None:
    """It repeats what came after the last checkpoint: nothing where one is written after every step."""
    setting = f"trainer.checkpoint_minutes={minutes}"
    killed = rxclip(
        *("pretrain", INTERRUPTED, "--set", f"data.root={written}", "--set", setting),
        cwd=tmp_path,
        SIGNAL_AT=f"8:{signal.SIGKILL}",
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert_same(go(), untouched)
    (entry,) = json.loads((tmp_path / "runs/latest/environment.json").read_text())["resumed"]
    assert entry["step"] == (7 if minutes == "0" else 5)


class Killed(BaseException):
    """Stands for SIGKILL: nothing in between catches it."""


class KillAfterCheckpoints(Checkpoint):
    """Ends the process when the checkpoints of an epoch are written, and its row in `metrics.csv` is not."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch + 1 == self.epoch:
            raise Killed


@dataclass(frozen=True)
class KilledPretraining(Pretraining):
    epoch: int = 0

    def callbacks(self) -> list[Callback]:
        return [*super().callbacks(), KillAfterCheckpoints(self.epoch)]


@pytest.mark.parametrize("epoch", [2, 3])
def test_the_row_of_an_epoch_is_not_lost_between_its_checkpoint_and_the_file(
    go: Go, written: Path, untouched: Path, tmp_path: Path, epoch: int
) -> None:
    """Of the last epoch either, when there is nothing left to train."""
    killed = KilledPretraining(small(written, file=INTERRUPTED), INTERRUPTED, Console(quiet=True), epoch)
    with chdir(tmp_path), pytest.raises(Killed):
        killed.run()
    whole = metrics(untouched)
    rows = metrics(tmp_path / "runs/latest")
    assert len(rows) == epoch * len(whole) // 3 - 1
    for _ in range(2):  # the second time there is nothing to add
        run = go()
        assert_same(run, untouched)


def test_of_a_run_that_took_no_step_there_is_nothing_to_resume(go: Go, untouched: Path, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        go(signal_at=f"3:{signal.SIGTERM}")
    (tmp_path / "runs/latest/checkpoints/last.ckpt").unlink()
    assert_same(go(), untouched)
    assert len(list((tmp_path / "runs/small_interrupted").iterdir())) == 2
    with pytest.raises(ConfigError, match=r"nowhere: no such run folder"):
        go(resume=Path("nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"empty: this run has no checkpoint to go on from"):
        go(resume=Path("empty"))


def truncated(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def changed_in_one_bit(path: Path) -> None:
    """In the middle of the largest tensor."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [truncated, changed_in_one_bit])
def test_a_damaged_checkpoint_is_noticed_and_the_one_before_is_used(
    go: Go, untouched: Path, damage: Callable[[Path], None], tmp_path: Path
) -> None:
    with pytest.raises(Interrupted):
        go("trainer.checkpoint_minutes=0", signal_at=f"8:{signal.SIGTERM}")
    run = (tmp_path / "runs/latest").resolve()
    damage(run / "checkpoints/last.ckpt")
    assert_same(go(), untouched)
    assert "last.ckpt is damaged; going on from previous.ckpt instead" in (run / "log.txt").read_text()
    assert (run / "checkpoints/last.damaged").is_file()


def test_where_no_checkpoint_is_whole_there_is_an_error_that_names_them(go: Go, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        go(signal_at=f"3:{signal.SIGTERM}")
    truncated(tmp_path / "runs/latest/checkpoints/last.ckpt")
    with pytest.raises(DataError, match=r"runs/small_interrupted/\S+: none of its checkpoints is whole: last\.ckpt"):
        go()


def test_a_disk_that_is_full_costs_no_checkpoint(go: Go, untouched: Path, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        go(signal_at=f"8:{signal.SIGTERM}")
    last = (tmp_path / "runs/latest/checkpoints/last.ckpt").resolve()
    content = last.read_bytes()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(content) // 2, limit[1]))
        with pytest.raises(WriteError, match=r"loss=\S+\.ckpt: cannot be written: File too large"):
            go()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert last.read_bytes() == content
    assert_same(go(), untouched)


def test_a_run_goes_on_where_its_folder_was_moved_to(go: Go, untouched: Path, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        go(signal_at=f"8:{signal.SIGTERM}")
    (tmp_path / "runs").rename(tmp_path / "elsewhere")
    moved = (tmp_path / "elsewhere/latest").resolve()
    assert go(resume=moved) == moved
    assert_same(moved, untouched)


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


def test_early_stopping_remembers_what_it_has_waited_for(go: Go, tmp_path: Path) -> None:
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
    assert shown[0].endswith(": the experiment is not what it was in this run:")
    assert shown[1:-1] == ["  optim.lr: 0.002 -> 0.001"]
    assert "--set optim.lr=..." in shown[-1]
    with pytest.raises(ConfigError, match=r"an epoch of 5 steps is under way; what makes it one of 10"):
        go("optim.lr=2e-3", "embed_dim=8", "batch_size=4")


def files(folder: Path) -> dict[Path, tuple[int, int]]:
    """Every file and link in it, with when it was written and how large it is."""
    return {path: (path.lstat().st_mtime_ns, path.lstat().st_size) for path in folder.rglob("*")}


def test_a_dry_run_says_what_would_be_gone_on_with_and_writes_nothing(go: Go, written: Path, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        go(signal_at=f"3:{signal.SIGTERM}")
    run = (tmp_path / "runs/latest").readlink()
    before = files(tmp_path)

    def plan(*overrides: str, resume: Path | None = NEWEST) -> str | None:
        with chdir(tmp_path):
            return dry_run(
                small(written, *overrides, file=INTERRUPTED), resume=resume, overrides=overrides
            ).resumes_from

    assert plan() == f"from   runs/{run}/checkpoints/last.ckpt: 3 steps done, now epoch 1"
    assert plan("optim.lr=2e-3", resume=Path("runs/latest")) == plan()
    assert plan(resume=None) is None
    with pytest.raises(ConfigError, match="an epoch of 5 steps is under way; what makes it one of 10"):
        plan("batch_size=4")
    printed = call(
        *("pretrain", INTERRUPTED, "--set", f"data.root={written}", "--set", "data.workers=0"),
        *("--dry-run", "--resume"),
        cwd=tmp_path,
    )
    assert printed.returncode == 0
    assert printed.stdout.splitlines()[-1] == plan()
    with chdir(tmp_path), pytest.raises(ConfigError, match="not what it was in this run:\n  seed: 42 -> 1\n"):
        dry_run(small(written, "seed=1", file=INTERRUPTED), resume=NEWEST)
    assert files(tmp_path) == before
    go("trainer.max_epochs=1")
    assert plan("trainer.max_epochs=1") == f"runs/{run} is finished: 1 epoch; to train on, --set trainer.max_epochs=..."


def test_a_run_is_not_resumed_on_other_data(go: Go, root: Path, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        go(f"data.root={root}", signal_at=f"3:{signal.SIGTERM}")
    go_on = partial(go, f"data.root={root}")
    recording = root / "imu/Subject01/0000.csv"
    content = recording.read_text()
    recording.write_text(content + content.splitlines()[-1])
    with pytest.raises(ConfigError, match="the files of the dataset have changed since this run began"):
        go_on()
    with chdir(tmp_path), pytest.raises(ConfigError, match="the files of the dataset have changed since this run"):
        dry_run(small(root, file=INTERRUPTED), resume=NEWEST)
    recording.write_text(content)
    go_on()


def test_a_job_that_slurm_has_requeued_goes_on_with_its_own_run(
    go: Go, untouched: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    with pytest.raises(Interrupted, match="SIGUSR1, after step 3"):
        go(signal_at=f"3:{signal.SIGUSR1}", resume=None)
    monkeypatch.setenv("SLURM_JOB_ID", "4712")
    with pytest.raises(Interrupted):
        go(signal_at=f"4:{signal.SIGTERM}", resume=None)
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    run = go(resume=None)
    assert run == min((tmp_path / "runs/small_interrupted").iterdir())
    assert_same(run, untouched)
    assert go("seed=3", resume=None) not in {run}  # another run of the same script
    assert len(list((tmp_path / "runs/small_interrupted").iterdir())) == 3


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
