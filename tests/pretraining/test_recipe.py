"""The recommended recipe as a whole: aligned tokens, and the windows of a recording against each other."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest
import torch
from support.html_page import Page
from support.interrupted_run import assert_same
from support.small_process import rxclip, succeed
from support.small_run import train
from support.small_training import logged, metrics, weights

from revalexo_clip.config.loading import load_experiment
from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.core.component import Component
from revalexo_clip.core.errors import ConfigError, Interrupted
from revalexo_clip.evaluation.protocol import evaluate
from revalexo_clip.pretraining.run import dry_run_pretraining, pretrain
from revalexo_clip.runs.checkpoint import load_checkpoint
from revalexo_clip.runs.options import RunOptions
from revalexo_clip.runs.resume import NEWEST

pytestmark = pytest.mark.filterwarnings("ignore:::lightning", "ignore:This DataLoader will create")

RECIPE = Path(__file__).parents[2] / "experiments" / "motion.py"
SMALL = (
    *("data.train_subjects=01,02", "data.val_subjects=08", "data.test_subjects=05", "data.channels=acc_*"),
    *("data.min_duration=3", "data.windows_per_clip=10", "data.workers=0", "joint_augment=[]"),
    'imu_augment=[{"type": "Scale"}, {"type": "GaussianNoise"}]',
    *("imu.width=8", "imu.pooled_width=12", "imu.shared=0", "video.width=8", "embed_dim=8", "tokens.count=6"),
    *("tokens.dim=4", "batch_size=10", "batches.windows=5", "optim.lr=0.003"),
    *("loss.terms.recording.loss.near=0.5", "loss.terms.recording.loss.far=0.7"),  # starts lie within 2 s
    *("trainer.max_epochs=2", "trainer.accelerator=cpu", "trainer.gradient_clip=none"),
)
TERMS = ("aligned", "recording")
WITH_FRAMES = (
    *("data.frames=4", "data.crop=32", "data.short_side=32", "video.color=scene", "video.color_width=8"),
    'frame_tokens={"dim": 8, "hidden": 8}',
    'loss.terms.pooled={"loss": {"type": "InfoNCE"}}',
    'loss.terms.frames={"loss": {"type": "PerFrame"}}',
)
"""The recipe with terms on scenes and frames, as it was before."""
WITHOUT_TOKENS = ("loss.terms.aligned=none", "tokens=none", 'loss.terms.pooled={"loss": {"type": "InfoNCE"}}')
"""Nothing reads the network of moments."""
SIGNALLED = """
from motion import MotionRecipe

from revalexo_clip import ImuEncoder, ImuSpec, ResNet1D
from revalexo_clip.models.encoders.resnet1d import ResNet1DNet
from support.interrupted_experiment import SignalAtStep
from torch import nn


class SignalledResNet(ResNet1D):
    def build(self, spec: ImuSpec, embed_dim: int) -> nn.Module:
        net = super().build(spec, embed_dim)
        assert isinstance(net, ResNet1DNet)
        net.readout = nn.Sequential(net.readout, SignalAtStep())
        return net


class Signalled(MotionRecipe):
    name: str = "signalled"
    imu: ImuEncoder = SignalledResNet(width=8, pooled_width=12)
"""
"""The recipe with a signal at a step, see `interrupted_experiment`."""


def recipe(root: Path, *overrides: str, file: Path = RECIPE) -> PretrainExperiment:
    return load_experiment(str(file), [f"data.root={root}", *SMALL, *overrides])


def folder(path: Path) -> Path:
    path.mkdir()
    return path


@pytest.fixture(scope="module")
def signalled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The file of the recipe with a signal."""
    path = tmp_path_factory.mktemp("signalled") / "signalled.py"
    shutil.copyfile(RECIPE, path.with_name("motion.py"))
    path.write_text(SIGNALLED)
    yield path
    Component.registry.pop("SignalledResNet", None)  # other tests list what is there


def assert_alike(run: Path, other: Path, terms: tuple[str, ...] = TERMS) -> None:
    """Weights and logged losses are the same, up to the order of sums."""
    validated = [f"val/loss/{term}" for term in terms if term != "recording"]
    for metric in ("train/loss_epoch", "val/loss", *validated, *(f"train/loss/{term}" for term in terms)):
        assert len(logged(run, metric)) == 2, metric
        assert logged(run, metric) == pytest.approx(logged(other, metric), rel=1e-4)
    expected = weights(other / "checkpoints/last.ckpt")
    torch.testing.assert_close(weights(run / "checkpoints/last.ckpt"), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.long
def test_a_dry_run_shows_motion_alone_and_counts_every_head(distinct: Path) -> None:
    summary = dry_run_pretraining(recipe(distinct), RunOptions())
    assert summary.shapes["motion"] == (10, 60, 3, 4, 3)
    assert "video" not in summary.shapes
    heads = 8 * (4 * 12 + 1) + 8 * 9 + 8 * (4 * 8 + 1) + 8 * 9  # of IMU from 4 x 12 features, of video from 4 x 8
    tokens = 2 * 4 * (8 + 1)
    assert summary.parameters["projection heads"] == heads + tokens
    assert summary.parameters["loss"] == len(TERMS)


@pytest.mark.long
def test_it_learns_in_parts_as_at_once_and_every_term_is_logged(distinct: Path, tmp_path: Path) -> None:
    whole, parts = (train(recipe(distinct, f"micro_batch={size}"), folder(tmp_path / size)) for size in ("none", "3"))
    assert_alike(parts, whole)
    for term in TERMS:
        chance, loss = logged(whole, f"train/chance/{term}"), logged(whole, f"train/loss/{term}")
        assert len(chance) == len(loss) == 2
        assert all(value > 0 for value in (*chance, *loss))
    assert {name for row in metrics(whole) for name in row if name.startswith(("val/loss", "val/chance"))} == {
        *("val/loss", "val/chance", "val/loss/aligned", "val/chance/aligned")
    }
    assert (whole / "checkpoints/best.ckpt").samefile(whole / "checkpoints/epoch=001.ckpt")


@pytest.mark.long
def test_its_evaluation_shows_frames_of_windows_that_have_none(distinct: Path, tmp_path: Path) -> None:
    found = evaluate(train(recipe(distinct), tmp_path))
    page = Page(found.report.read_text(encoding="utf-8"))
    shown = [attributes["alt"] or "" for tag, attributes in page.elements if tag == "img"]
    assert len(shown) >= 2 * 6, "of each example its own video and the five nearest"
    assert all(label.startswith("video of") for label in shown)


@pytest.mark.long
def test_with_frames_they_are_compared_with_the_network_of_features(distinct: Path, tmp_path: Path) -> None:
    settings = (*WITH_FRAMES, "micro_batch=4")
    run, whole = (
        train(recipe(distinct, *each), folder(tmp_path / name))
        for name, each in (("parts", settings), ("whole", WITH_FRAMES))
    )
    assert_alike(run, whole, (*TERMS, "pooled", "frames"))
    model = load_checkpoint(whole / "checkpoints/last.ckpt").build_model()
    assert model.get_submodule("imu_frames.head.hidden").get_parameter("weight").shape[1] == 2 * 12


@pytest.mark.long
def test_in_bfloat16_it_has_nearly_the_same_losses(distinct: Path, tmp_path: Path) -> None:
    settings = ("trainer.max_epochs=1", "optim.lr=1e-6")
    exact, half = (
        train(recipe(distinct, *settings, f"trainer.precision={precision}"), folder(tmp_path / precision))
        for precision in ("32", "bf16-mixed")
    )
    for term in TERMS:
        assert logged(half, f"train/loss/{term}") == pytest.approx(logged(exact, f"train/loss/{term}"), rel=0.02)
        assert logged(half, f"train/loss/{term}") != logged(exact, f"train/loss/{term}")


def test_batches_without_partners_are_refused_with_what_to_change(distinct: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no window of a batch has .* use batches=GroupedBatches\(by='clip'"):
        train(recipe(distinct, "loss.terms.recording.loss.near=2", "loss.terms.recording.loss.far=3"), tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("more", [(), WITHOUT_TOKENS], ids=["recipe", "without tokens"])
def test_a_resumed_run_ends_bit_for_bit_as_an_uninterrupted_one(
    more: tuple[str, ...], signalled: Path, distinct: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(name: str, signal_at: str = "0:0", resume: Path | None = None) -> Path:
        monkeypatch.setenv("SIGNAL_AT", signal_at)
        (tmp_path / name).mkdir(exist_ok=True)
        with chdir(tmp_path / name):
            return Path.cwd() / pretrain(recipe(distinct, *more, file=signalled), signalled, resume=resume)

    with pytest.raises(Interrupted):
        run("interrupted", f"3:{signal.SIGTERM}")
    assert_same(run("interrupted", resume=NEWEST), run("whole"))


@pytest.mark.long
@pytest.mark.parametrize("more", [(), WITHOUT_TOKENS], ids=["recipe", "without tokens"])
def test_two_processes_train_it_as_one_does(more: tuple[str, ...], distinct: Path, tmp_path: Path) -> None:
    sets = [text for one in (f"data.root={distinct}", *SMALL, *more) for text in ("--set", one)]
    succeed("pretrain", RECIPE, "--devices", "2", *sets, cwd=tmp_path)
    terms = ("recording", "pooled") if more else TERMS
    assert_alike(tmp_path / "runs/latest", train(recipe(distinct, *more), folder(tmp_path / "alone")), terms)


@pytest.mark.long
def test_two_resumed_processes_end_bit_for_bit_as_uninterrupted_ones(
    signalled: Path, distinct: Path, tmp_path: Path
) -> None:
    sets = [text for one in (f"data.root={distinct}", *SMALL) for text in ("--set", one)]
    whole, interrupted = (folder(tmp_path / name) for name in ("whole", "interrupted"))
    command = ("pretrain", str(signalled), "--devices", "2", *sets)
    succeed(*command, cwd=whole)
    stopped = rxclip(*command, cwd=interrupted, SIGNAL_AT=f"3:{int(signal.SIGTERM)}")
    assert stopped.returncode != 0
    assert (interrupted / "runs/latest/checkpoints/last.ckpt").is_file(), stopped.stderr
    succeed(*command, "--resume", cwd=interrupted)
    assert_same(interrupted / "runs/latest", whole / "runs/latest")
