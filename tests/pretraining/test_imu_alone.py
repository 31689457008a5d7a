"""Pretraining of IMU alone: what chooses its checkpoints, parts, resuming, and what is refused."""

from __future__ import annotations

import json
import shutil
import signal
from contextlib import chdir
from pathlib import Path

import pytest
import torch
from support.imu_alone import IMU_ALONE, imu_alone, write_recordings
from support.interrupted_run import assert_same
from support.small_process import call, succeed
from support.small_run import train
from support.small_training import logged, metrics, weights

from revalexo_clip.core.errors import ConfigError, Interrupted, UserError
from revalexo_clip.pretraining import collapse
from revalexo_clip.pretraining import module as pretraining_module
from revalexo_clip.pretraining.run import pretrain
from revalexo_clip.runs.checkpoint import load_checkpoint

pytestmark = pytest.mark.filterwarnings("ignore:::lightning", "ignore:This DataLoader will create")

REVALEXO = (
    "data.type=RevalExo",
    "data.train_subjects=01,02",
    "data.val_subjects=05,08",
    "data.test_subjects=09",
    "data.channels=acc_*,gyro_Pelvis_*",
    "data.windows_per_clip=8",
    "data.min_duration=3",
    "data.workers=0",
)
"""The settings that read RevalExo's layout with the same experiment."""
WITHIN_RECORDINGS = ("loss.type=TemporalContrast", 'batches={"type": "GroupedBatches", "by": "clip", "windows": 4}')
"""The settings that contrast windows of a recording."""


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recordings(tmp_path_factory.mktemp("recordings") / "recordings.npz")


@pytest.fixture(scope="module")
def trained(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(imu_alone(recordings), tmp_path_factory.mktemp("imu_alone"))


def columns(run: Path) -> set[str]:
    return {name for row in metrics(run) for name, value in row.items() if value}


@pytest.mark.long
def test_neighbours_and_rank_are_logged_and_no_validation_loss(trained: Path) -> None:
    own = {name for name in columns(trained) if name.startswith("val/")}
    assert own == {
        "val/knn_macro_f1",
        "val/effective_rank",
        "val/next_window/mrr",
        "val/next_window/chance",
        "val/selection",
        "val/between_subjects/imu",
    }
    assert logged(trained, "val/selection") == logged(trained, "val/knn_macro_f1")
    assert len(logged(trained, "val/selection")) == 3
    assert all(1 <= rank <= 8 for rank in logged(trained, "val/effective_rank"))
    model = load_checkpoint(trained / "checkpoints/best.ckpt").build_model()
    assert (model.video, model.video_head, model.frames) == (None, None, None)
    assert set(model.towers()) == {"imu"}


@pytest.mark.long
def test_the_best_checkpoint_is_chosen_by_neighbours_and_not_by_the_loss(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted = iter([0.3, 0.9, 0.5, 0.4])
    monkeypatch.setattr(pretraining_module, "selection_metrics", lambda *_, **__: {"val/selection": next(scripted)})
    run = train(imu_alone(recordings, "trainer.max_epochs=4", "optim.lr=0.01"), tmp_path)
    losses = logged(run, "train/loss_epoch")
    assert min(losses) != losses[1], "the loss would choose another epoch"
    assert load_checkpoint(run / "checkpoints/best.ckpt").epoch == 2
    assert (run / "checkpoints/epoch=001-selection=0.9000.ckpt").is_file()


def test_with_one_labelled_subject_the_next_window_and_the_rank_choose(recordings: Path, tmp_path: Path) -> None:
    run = train(imu_alone(recordings, "data.val_subjects=3", "trainer.max_epochs=1"), tmp_path)
    (chosen,), (mrr,), (rank,) = (
        logged(run, f"val/{name}") for name in ("selection", "next_window/mrr", "effective_rank")
    )
    assert chosen == pytest.approx((mrr * rank / 8) ** 0.5)
    assert "val/knn_macro_f1" not in columns(run)
    assert "best   chosen by the next window of a recording" in (run / "log.txt").read_text()


@pytest.mark.long
def test_parts_have_the_gradient_of_the_undivided_batch(recordings: Path, tmp_path: Path) -> None:
    whole, parts = (tmp_path / name for name in ("whole", "parts"))
    settings = ("trainer.max_epochs=1", "optim.lr=0.01")
    for folder, more in ((whole, ()), (parts, ("micro_batch=3",))):
        folder.mkdir()
        train(imu_alone(recordings, "imu.type=DeepConvLSTM", "imu.maps=4", "imu.hidden=8", *settings, *more), folder)
    runs = [next(folder.glob("runs/imu_alone/2*")) for folder in (whole, parts)]
    assert logged(runs[1], "train/loss") == pytest.approx(logged(runs[0], "train/loss"), rel=1e-4)
    one, other = (weights(run / "checkpoints/last.ckpt") for run in runs)
    for name, value in one.items():
        torch.testing.assert_close(other[name], value, rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.long
def test_a_resumed_run_ends_bit_for_bit_as_an_uninterrupted_one(
    recordings: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = imu_alone(recordings)
    steps = len(logged(trained, "train/loss")) // 3
    with chdir(tmp_path):
        monkeypatch.setenv("SIGNAL_AT", f"{2 * steps + 3}:{signal.SIGTERM}")
        with pytest.raises(Interrupted):
            pretrain(experiment, IMU_ALONE)
        monkeypatch.setenv("SIGNAL_AT", "0:0")
        resumed = tmp_path / pretrain(imu_alone(recordings), IMU_ALONE, resume="newest")
    assert_same(resumed, trained)


@pytest.mark.long
def test_the_command_pretrains_on_revalexo_without_videos_and_exports(distinct: Path, tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    shutil.copytree(distinct, root, ignore=shutil.ignore_patterns("*.mp4"))
    sets = [part for text in (f"data.root={root}", *REVALEXO, "trainer.max_epochs=1") for part in ("--set", text)]
    succeed("pretrain", IMU_ALONE, *sets, cwd=tmp_path)
    run = tmp_path / "runs/latest"
    shown = call("pretrain", IMU_ALONE, "--dry-run", *sets, cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "imu encoder" in shown.stdout
    assert "video" not in shown.stdout
    assert load_checkpoint(run / "checkpoints/best.ckpt").description.video_spec is None
    evaluated = call("evaluate", "--experiment", IMU_ALONE, "--data", root, cwd=tmp_path)
    assert "IMU alone: the encoder was pretrained without video" in evaluated.stdout
    assert (run / "evaluation/report.html").is_file()
    exported = call("export-encoder", "--modality", "imu", "--experiment", IMU_ALONE, cwd=tmp_path)
    assert exported.returncode == 0, exported.stderr
    described = json.loads((run / "export/imu/config.json").read_text())
    assert (described["video"], described["alone"]) == (None, True)
    card = (run / "export/imu/README.md").read_text()
    assert "on IMU windows alone, without video" in card
    assert "Retrieval" not in card


def test_the_imu_encoder_is_exported_and_that_of_video_is_said_to_be_missing(trained: Path, tmp_path: Path) -> None:
    exported = call("export-encoder", "--modality", "imu", "--ckpt", trained, "--out", tmp_path / "imu", cwd=tmp_path)
    assert exported.returncode == 0, exported.stderr
    refused = call("export-encoder", "--modality", "video", "--ckpt", trained, cwd=tmp_path)
    assert refused.returncode != 0
    assert "was pretrained on IMU alone and has no video encoder; use --modality imu" in refused.stderr


@pytest.mark.long
def test_two_processes_train_as_one(recordings: Path, tmp_path: Path) -> None:
    settings = (f"data.root={recordings}", "imu.type=DeepConvLSTM", "imu.maps=4", "imu.hidden=8", "micro_batch=3")
    sets = [part for text in settings for part in ("--set", text)]
    succeed("pretrain", IMU_ALONE, "--devices", "2", *sets, cwd=tmp_path)
    (folder := tmp_path / "alone").mkdir()
    alone = train(imu_alone(recordings, *settings[1:]), folder)
    shared = tmp_path / "runs/latest"
    for name in ("train/loss", "val/selection", "val/effective_rank", "val/next_window/mrr"):
        assert logged(shared, name) == pytest.approx(logged(alone, name), rel=1e-2)


@pytest.mark.long
def test_a_loss_that_stays_at_chance_is_warned_of_without_a_word_of_video(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(collapse, "STEPS", 6)
    nothing_learned = "optim.lr=1e-30", "optim.final_lr=0", "loss.temperature=1"
    noise = 'imu_augment=[{"type": "GaussianNoise", "std": 1000}]'
    train(imu_alone(recordings, *nothing_learned, noise), tmp_path)
    (said,) = [record.getMessage() for record in caplog.records if "not learning" in record.getMessage()]
    assert "use weaker augmentations" in said
    assert "video" not in said


def test_a_diverged_step_names_the_windows_of_imu(recordings: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the IMU embeddings are not finite of all windows\n"):
        train(imu_alone(recordings, "optim.lr=1e30", "trainer.gradient_clip=0"), tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("pooled_width", [0, 6])
def test_windows_that_are_close_in_time_can_be_the_only_partners(
    recordings: Path, tmp_path: Path, pooled_width: int
) -> None:
    """Without augmentations, and without a second network for tokens, which are not there."""
    settings = (
        "imu.type=ResNet1D",
        "imu.width=4",
        f"imu.pooled_width={pooled_width}",
        "imu.depth=1",
        "trainer.max_epochs=2",
    )
    whole, parts = (tmp_path / name for name in ("whole", "parts"))
    for folder, size in ((whole, "none"), (parts, "3")):
        folder.mkdir()
        train(imu_alone(recordings, *WITHIN_RECORDINGS, "imu_augment=[]", *settings, f"micro_batch={size}"), folder)
    run, other = (next(folder.glob("runs/imu_alone/2*")) for folder in (whole, parts))
    for name in ("train/loss_epoch", "train/chance", "val/selection", "val/effective_rank"):
        assert len(logged(run, name)) == 2
        assert logged(other, name) == pytest.approx(logged(run, name), rel=1e-3)
    assert not any(name.startswith("val/loss") for name in columns(run))
    assert load_checkpoint(run / "checkpoints/best.ckpt").description.experiment.video is None


@pytest.mark.long
def test_the_times_of_windows_of_imu_alone_resume_bit_for_bit(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = []
    for name, at in (("whole", "0:0"), ("interrupted", f"4:{signal.SIGTERM}")):
        (tmp_path / name).mkdir()
        with chdir(tmp_path / name):
            monkeypatch.setenv("SIGNAL_AT", at)
            if at != "0:0":
                with pytest.raises(Interrupted):
                    pretrain(imu_alone(recordings, *WITHIN_RECORDINGS), IMU_ALONE)
                monkeypatch.setenv("SIGNAL_AT", "0:0")
            runs.append(Path.cwd() / pretrain(imu_alone(recordings, *WITHIN_RECORDINGS), IMU_ALONE, resume="newest"))
    assert_same(runs[1], runs[0])


@pytest.mark.long
def test_the_windows_of_a_recording_that_stay_at_chance_are_warned_of(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(collapse, "STEPS", 6)
    nothing_learned = "optim.lr=1e-30", "optim.final_lr=0", "loss.temperature=1"
    noise = 'imu_augment=[{"type": "GaussianNoise", "std": 1000, "p": 1}]'
    train(imu_alone(recordings, *WITHIN_RECORDINGS, *nothing_learned, noise), tmp_path)
    (said,) = [record.getMessage() for record in caplog.records if "not learning" in record.getMessage()]
    assert "windows that are close in time" in said
    assert "two augmentations" not in said


def test_the_video_of_a_recording_cannot_be_compared_without_video(recordings: Path) -> None:
    with pytest.raises(ConfigError, match="loss: it compares video, which needs video"):
        imu_alone(recordings, *WITHIN_RECORDINGS, "loss.modality=video")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("loss.type=InfoNCE",), r"loss: it compares video, which needs video.*set loss\.type=SelfContrast"),
        (('tokens={"count": 8}',), r"tokens: it needs video, and video is null; remove it"),
        (('video_augment=[{"type": "ColorJitter"}]',), r"video_augment: it needs video"),
        (('joint_augment=[{"type": "Mirror"}]',), r"joint_augment: it needs video"),
        (("video.type=X3D", "loss.type=InfoNCE"), r"data: ImuRecordings has no video, and video is X3D.*video=none"),
    ],
    ids=["loss", "tokens", "video_augment", "joint_augment", "data"],
)
def test_what_needs_video_is_refused(recordings: Path, overrides: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        imu_alone(recordings, *overrides)


def test_without_augmentations_both_views_are_equal_which_is_refused(recordings: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"imu_augment: .* add one"):
        train(imu_alone(recordings, "imu_augment=[]"), tmp_path)
