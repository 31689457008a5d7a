"""Pretraining with kept features of a frozen video encoder, compared with pretraining on frames."""

from __future__ import annotations

import hashlib
import logging
import shutil
import signal
from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from support.frozen_towers import FrozenSquaresNet
from support.interrupted_run import assert_same
from support.small_process import EXPERIMENT, succeed
from support.small_run import built_in_experiment
from support.small_training import logged, small, weights
from torch import Tensor

from revalexo_clip.augment import Augmentation, stack
from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.core.errors import ConfigError, DataError, Interrupted
from revalexo_clip.core.types import Sample
from revalexo_clip.data.dataset import ClipWindows
from revalexo_clip.data.features import FeatureFile, FeatureFiles
from revalexo_clip.data.windows import sample_rng
from revalexo_clip.pretraining import frozen_features
from revalexo_clip.pretraining.build import TrainingSetup, build_setup
from revalexo_clip.pretraining.feature_cache import NAME, FeatureCaching, keep_features
from revalexo_clip.pretraining.run import Pretraining, pretrain
from revalexo_clip.runs.resume import NEWEST
from revalexo_clip.training.drawn_batches import FetchAndDraw, TrainingSample

pytestmark = pytest.mark.filterwarnings("ignore:::lightning")


@pytest.fixture(autouse=True)
def _pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read the 120 frames of a clip in pieces of several lengths, as those of a longer clip are read."""
    monkeypatch.setattr(frozen_features, "FRAMES_READ", 50)
    monkeypatch.setattr(frozen_features, "FRAMES_ENCODED", 32)


FROZEN = EXPERIMENT.with_name("frozen_experiment.py")
GRID = ("video.per_frame=false", "feature_cache.grid=0.25")
WAYS = pytest.mark.parametrize("way", [(), GRID], ids=["frames", "grid"])
AUGMENTED = (
    'video_augment=[{"type": "RandomResizedCrop"}, {"type": "ColorJitter"}, {"type": "RandomErasing"}]',
    'joint_augment=[{"type": "Mirror"}]',
    'data.channels=["acc_Pelvis_[xy]"]',
)


class OnFrames(Pretraining):
    """The same training without kept features."""

    def callbacks(self) -> list[Callback]:
        return [one for one in super().callbacks() if not isinstance(one, FeatureCaching)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "features"


def frozen(root: Path, folder: Path, *overrides: str) -> PretrainExperiment:
    return small(root, f"feature_cache.folder={folder}", *overrides, file=FROZEN)


def kept(experiment: PretrainExperiment) -> TrainingSetup:
    """Build a pretraining whose windows have kept features."""
    setup = build_setup(experiment)
    keep(setup)
    return setup


def keep(setup: TrainingSetup) -> None:
    quiet = Console(quiet=True)
    keep_features(setup.experiment, setup.model, (setup.train, setup.val), torch.device("cpu"), quiet)


def files_in(folder: Path) -> set[Path]:
    return set(folder.rglob("*.safetensors"))


def features_of(dataset: object) -> FeatureFiles:
    assert isinstance(dataset, ClipWindows)
    assert dataset.features is not None
    return dataset.features


@pytest.mark.long
@WAYS
def test_losses_and_weights_are_those_of_frames(
    way: tuple[str, ...], written: Path, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    experiment, console = frozen(written, folder, *way), Console(quiet=True)
    with chdir(tmp_path), caplog.at_level(logging.INFO):
        with_features = Pretraining(experiment, None, console).run().folder
        calls = FrozenSquaresNet.calls
        again = Pretraining(experiment, None, console).run().folder
        assert FrozenSquaresNet.calls == calls, "the second training looked at frames"
        on_frames = OnFrames(experiment, None, console).run().folder
    assert FrozenSquaresNet.calls > calls
    number = "46 windows" if way else "720 frames"
    assert [f"{number} computed; 6 files" in text for text in caplog.messages].count(True) == 1
    assert any("all kept; 6 files" in text for text in caplog.messages)
    for metric, values in (("train/loss_step", 10), ("train/gradient_norm", 10), ("val/loss", 2), ("val/mrr", 2)):
        found = logged(tmp_path / with_features, metric)
        assert len(found) == values
        assert found == pytest.approx(logged(tmp_path / on_frames, metric), rel=1e-5)
        assert found == logged(tmp_path / again, metric)
    states = [weights(tmp_path / run / "checkpoints/last.ckpt") for run in (with_features, on_frames)]
    torch.testing.assert_close(*states, rtol=1e-5, atol=1e-5)


def frames_of(setup: TrainingSetup, dataset: ClipWindows, key: tuple[int, int]) -> TrainingSample | Sample:
    """A window with frames, in training with its draws."""
    source, dataset.features = dataset.features, None
    try:
        if dataset.segment_N is None:
            return dataset[key]
        found = FetchAndDraw(dataset, setup.data.augmentation, dataset.seed)[key]
        assert isinstance(found, TrainingSample)
        return found
    finally:
        dataset.features = source


def coloured(augmentation: Augmentation, sample: TrainingSample) -> Tensor:
    """The input of the encoder, [1, 3, T, crop, crop]."""
    window = sample.window
    inputs = window.imu_LC[None], window.video_THWC[None], window.motion_MYX3[None]
    return augmentation.apply(*inputs, stack([sample.draws])).video_B3THW


@pytest.mark.parametrize("pack", ["off", "auto"])
@WAYS
def test_features_of_windows_are_those_of_their_frames(
    way: tuple[str, ...], pack: str, written: Path, folder: Path
) -> None:
    setup = kept(frozen(written, folder, f"data.pack={pack}", "data.burst=2", "data.crop=33", *way))
    network = setup.model.video
    assert isinstance(network, FrozenSquaresNet)
    assert isinstance(setup.data.augmentation, Augmentation)
    for dataset in (setup.train, setup.val):
        assert isinstance(dataset, ClipWindows)
        for index in range(0, len(dataset), 3):
            sample = dataset[1, index]
            assert sample.video_THWC.numel() == 0
            expected = frames_of(setup, dataset, (1, index))
            with torch.no_grad():
                if isinstance(expected, Sample):
                    video_B3THW = setup.model.normalized(expected.video_THWC[None])
                else:
                    video_B3THW = coloured(setup.data.augmentation, expected)
                (expected_MP,) = network.model_features(video_B3THW)
            assert sample.features_MP.shape == (network.moments, network.model_dim)
            torch.testing.assert_close(sample.features_MP, expected_MP, rtol=0, atol=1e-5)
        assert dataset.feature_bytes == 4 * network.moments * network.model_dim


@pytest.mark.parametrize("way", [(), (*GRID, "data.burst=2")], ids=["frames", "grid"])
def test_windows_have_one_of_the_fixed_views_and_the_imu_is_mirrored_with_it(
    way: tuple[str, ...], written: Path, folder: Path
) -> None:
    experiment = frozen(written, folder, *AUGMENTED, "feature_cache.views=3", *way)
    setup = kept(experiment)
    dataset, network, augmentation = setup.train, setup.model.video, setup.data.augmentation
    assert isinstance(dataset, ClipWindows)
    assert isinstance(network, FrozenSquaresNet)
    assert isinstance(augmentation, Augmentation)
    with_features, seen = FetchAndDraw(dataset, augmentation, experiment.seed), set()
    for epoch, index in ((0, 0), (1, 0), (2, 0), (3, 0), (0, 33), (1, 33)):
        found = with_features[epoch, index]
        assert isinstance(found, TrainingSample)
        features, dataset.features = dataset.features, None
        plain, dataset.features = dataset[epoch, index], features
        view = int(sample_rng(experiment.seed, epoch, index, stream=4).integers(3))
        clip = int(dataset.windows.clip_N[index])
        name = f"{experiment.seed} {view} {dataset.index.video_N[clip]}".encode()
        rng = np.random.default_rng(np.frombuffer(hashlib.sha256(name).digest(), np.uint32))
        _, video_THWC, draws = augmentation.sample(rng, plain.imu_LC.numpy(), plain.video_THWC.numpy())
        window = plain._replace(video_THWC=torch.from_numpy(np.ascontiguousarray(video_THWC)))
        with torch.no_grad():
            (expected_MP,) = network.model_features(coloured(augmentation, TrainingSample(window, draws)))
        torch.testing.assert_close(found.window.features_MP, expected_MP, rtol=0, atol=1e-5)
        assert all(map(torch.equal, found.draws.joint, draws.joint))
        seen.add((clip, view))
    assert len(seen) > 2
    assert features_of(setup.val).views == 1


@pytest.mark.long
def test_views_are_trained_and_a_resumed_run_ends_bit_for_bit_as_an_uninterrupted_one(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = {}
    for name, signals in {"whole": ["0:0"], "resumed": [f"7:{signal.SIGTERM}", "0:0"]}.items():
        (tmp_path / name).mkdir()
        experiment = frozen(written, tmp_path / name / NAME, *AUGMENTED, "feature_cache.views=2")
        for signal_at in signals:
            monkeypatch.setenv("SIGNAL_AT", signal_at)
            with chdir(tmp_path / name):
                try:
                    runs[name] = Path.cwd() / pretrain(experiment, resume=NEWEST)
                except Interrupted:
                    assert name == "resumed"
    assert_same(runs["resumed"], runs["whole"])
    assert {path.read_bytes() for path in files_in(tmp_path)} == {
        path.read_bytes() for path in files_in(tmp_path / "whole")
    }


def computed(caplog: pytest.LogCaptureFixture, experiment: PretrainExperiment) -> str:
    caplog.clear()
    with caplog.at_level(logging.INFO):
        kept(experiment)
    return " ".join(caplog.messages)


@pytest.mark.long
def test_features_are_computed_again_if_anything_they_depend_on_changes(
    root: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert "720 frames computed; 6 files" in computed(caplog, frozen(root, folder))
    assert "all kept; 6 files" in computed(caplog, frozen(root, folder, "data.windows_per_clip=3", "batch_size=4"))
    for change in ("seed=9", "data.crop=30", "data.short_side=40"):  # other weights, other pixels
        assert "720 frames computed" in computed(caplog, frozen(root, folder, change))
    video = root / "videos/Subject01/0001.mp4"
    shutil.copyfile(root / "videos/Subject02/0000.mp4", video)
    assert "120 frames computed; 6 files" in computed(caplog, frozen(root, folder))
    assert "all kept" in computed(caplog, frozen(root, folder))
    assert "240 frames computed; 6 files" in computed(
        caplog, frozen(root, folder, 'data.train_subjects=["02", "08"]', 'data.val_subjects=["01"]')
    ).replace("480 frames", "240 frames"), "training and evaluation crop differently"


@pytest.mark.long
def test_damaged_files_are_computed_again_or_reported(
    written: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    experiment = frozen(written, folder)
    kept(experiment)
    whole = {path: path.read_bytes() for path in files_in(folder)}
    truncated, header, times, value, gone = sorted(whole)[:5]
    truncated.write_bytes(whole[truncated][:-7])
    header.write_bytes(b"\x00" * 40)
    flip(
        times, whole[times].index(np.float64(1 / 30).tobytes()) if np.float64(1 / 30).tobytes() in whole[times] else 900
    )
    gone.unlink()
    text = computed(caplog, experiment)
    assert text.count("computed again: ") == 3
    assert "480 frames computed; 6 files" in text
    assert {path: path.read_bytes() for path in files_in(folder)} == whole
    flip(value, len(whole[value]) // 2)  # not looked at before it is read
    kept(experiment)
    assert len(FeatureFile(value).rows(range(20))) == 20
    with pytest.raises(DataError, match=r"features at .* s: is corrupt: checksum mismatch; delete the file"):
        FeatureFile(value).rows(range(120))


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_a_start_that_was_interrupted_continues(root: Path, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    setup = build_setup(frozen(root, folder))
    video = root / "videos/Subject08/0000.mp4"
    content = video.read_bytes()
    video.write_bytes(content[:2000])
    with pytest.raises(DataError, match="Subject08/0000"):
        keep(setup)
    video.write_bytes(content)
    assert "240 frames computed; 6 files" in computed(caplog, frozen(root, folder))


@pytest.mark.long
def test_two_processes_keep_and_train_the_same_as_one(written: Path, tmp_path: Path) -> None:
    runs = []
    for devices in (1, 2):
        cwd = tmp_path / f"{devices}"
        cwd.mkdir()
        sets = [
            f"data.root={written}",
            "data.workers=1",
            f"feature_cache.folder={cwd / NAME}",
            "trainer.max_epochs=1",
            "imu.type=TCN",
        ]
        sets = [text for one in sets for text in ("--set", one)]
        finished = succeed("pretrain", FROZEN, "--devices", f"{devices}", *sets, cwd=cwd)
        assert finished.stderr.count("720 frames computed; 6 files") == 1
        runs.append(cwd)
    one, two = ({path.relative_to(run / NAME): path.read_bytes() for path in files_in(run)} for run in runs)
    assert one == two
    losses = [logged(run / "runs/latest", "train/loss_step") for run in runs]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("video.frozen=0",), "feature_cache: features of an encoder that is trained change; set video.frozen=all"),
        (AUGMENTED, "feature_cache: kept features cannot be augmented anew"),
        (("feature_cache.views=2",), "feature_cache.views: there is nothing to draw views by"),
        (("feature_cache.grid=0.5",), "feature_cache.grid: FrozenSquares sees frames one by one"),
        (("video.per_frame=false",), "feature_cache.grid: FrozenSquares sees windows as a whole"),
        (("video.type=Squares", "video.frozen=all"), "feature_cache: the features of Squares cannot be kept"),
    ],
)
def test_what_cannot_be_kept_is_refused(overrides: tuple[str, ...], message: str, written: Path, folder: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        build_setup(frozen(written, folder, *overrides))


def test_there_are_no_features_to_keep_without_video(written: Path) -> None:
    noise = ({"type": "GaussianNoise"},)
    with pytest.raises(ValueError, match="feature_cache: it keeps features of video, and video is null"):
        built_in_experiment(written, video=None, loss={"type": "SelfContrast"}, imu_augment=noise, feature_cache={})
