"""A frozen pair of encoders without heads: IMU is trained against one of them and can be compared with the other."""

from __future__ import annotations

import signal
from contextlib import chdir
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from support import frozen_pair_experiment
from support.frozen_pair_experiment import ACTIVITIES, DIM, FrozenPair, write_coloured
from support.interrupted_run import assert_same
from support.small_process import succeed
from support.small_training import logged, small, weights
from torch import Tensor, nn

from revalexo_clip import load_encoder
from revalexo_clip.core.errors import ConfigError, Interrupted
from revalexo_clip.data.revalexo.pack.build import pack
from revalexo_clip.evaluation.protocol import Evaluation, evaluate
from revalexo_clip.evaluation.search import search
from revalexo_clip.evaluation.text import load_text
from revalexo_clip.evaluation.zero_shot import ACTIVITIES as BY_ACTIVITIES
from revalexo_clip.export import PretrainedVideoEncoder
from revalexo_clip.export.folder import export_encoder
from revalexo_clip.losses import InfoNCE
from revalexo_clip.pretraining.build import build_setup
from revalexo_clip.pretraining.run import pretrain
from revalexo_clip.reports.values import child
from revalexo_clip.runs.checkpoint import load_checkpoint

pytestmark = pytest.mark.filterwarnings("ignore:::lightning")

FILE = Path(frozen_pair_experiment.__file__)
SENTENCES = [f"a person is {activity}" for activity in ACTIVITIES]


@pytest.fixture(scope="module")
def coloured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_coloured(tmp_path_factory.mktemp("coloured"))
    pack(root)
    return root


@pytest.fixture(scope="module")
def run(coloured: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pair")
    with chdir(folder):
        return folder / pretrain(small(coloured, file=FILE), FILE)


def videos() -> Tensor:
    return torch.randint(256, (4, 2, 36, 36, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def similarities(video_BD: Tensor, text_VD: Tensor) -> Tensor:
    return nn.functional.normalize(video_BD, dim=1) @ nn.functional.normalize(text_VD, dim=1).T


@pytest.mark.long
def test_training_does_not_change_the_similarities_of_the_frozen_pair(run: Path) -> None:
    saved = load_checkpoint(run / "checkpoints/best.ckpt")
    model, tower = saved.build_model(), load_text(saved)
    video, text = frozen_pair_experiment.ColourNet(), frozen_pair_experiment.ColourWordsNet()
    with torch.no_grad():
        expected = similarities(video(model.normalized(videos())), text(text.tokenize(SENTENCES)))
        assert torch.equal(model.encode_video(videos()).embedding_BD @ tower.embed(SENTENCES).T, expected)
        assert torch.equal(model.project_video(model.video_features(videos())), model.embed_video(videos()))
    names = set(weights(run / "checkpoints/best.ckpt"))
    assert not any(name.startswith(("model.video_head", "text.tower.head")) for name in names)
    assert any(name.startswith("model.imu_head") for name in names)


@pytest.mark.long
def test_imu_that_was_trained_on_video_alone_is_classified_by_sentences(run: Path) -> None:
    found = evaluate(run, zero_shot=BY_ACTIVITIES, probe=False, experiment_file=FILE)
    assert isinstance(found, Evaluation)
    zero_shot = child(found.metrics, "zero_shot")
    assert child(zero_shot, "video")["accuracy"] == 1.0
    balanced = child(zero_shot, "imu")["balanced_accuracy"]
    assert isinstance(balanced, float)
    assert balanced > 0.9  # chance is 1 / 3


@pytest.mark.long
def test_imu_is_searched_by_a_sentence_that_it_was_not_trained_on(run: Path, tmp_path: Path) -> None:
    (best, *_) = search(SENTENCES[1], ["Subject05"], ckpt=run, experiment_file=FILE, out=tmp_path / "strip.jpg").moments
    assert best.recording.endswith("/walking")


def test_an_exported_encoder_without_a_head_embeds_by_its_features(run: Path, tmp_path: Path) -> None:
    folder = export_encoder("video", run, out=tmp_path / "video", experiment_file=FILE).files[0].parent
    encoder, model = load_encoder(folder, FILE), load_checkpoint(run / "checkpoints/best.ckpt", FILE).build_model()
    assert isinstance(encoder, PretrainedVideoEncoder)
    assert encoder.description.headless
    with torch.no_grad():
        features_BF = encoder(videos())
        assert torch.equal(encoder.embed(videos()), nn.functional.normalize(features_BF, dim=1))
        assert torch.equal(encoder.embed(videos()), model.embed_video(videos()))
    assert "which are the features at unit length" in (folder / "README.md").read_text()
    with_head = export_encoder("imu", run, out=tmp_path / "imu", experiment_file=FILE).description
    assert not with_head.headless


@pytest.mark.long
def test_a_resumed_run_ends_bit_for_bit_as_an_uninterrupted_one(
    coloured: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with chdir(tmp_path):
        monkeypatch.setenv("SIGNAL_AT", f"7:{signal.SIGTERM}")
        with pytest.raises(Interrupted):
            pretrain(small(coloured, file=FILE), FILE)
        monkeypatch.setenv("SIGNAL_AT", "0:0")
        resumed = tmp_path / pretrain(small(coloured, file=FILE), FILE, resume="newest")
    assert_same(resumed, run)


@pytest.mark.long
def test_two_processes_train_as_one(coloured: Path, tmp_path: Path) -> None:
    settings = (f"data.root={coloured}", "micro_batch=4", "trainer.max_epochs=1")
    sets = [part for text in settings for part in ("--set", text)]
    succeed("pretrain", FILE, "--devices", "2", *sets, cwd=tmp_path)
    (folder := tmp_path / "alone").mkdir()
    with chdir(folder):
        alone = folder / pretrain(small(coloured, *settings[1:], file=FILE), FILE)
    for name in ("train/loss", "val/loss", "val/mrr"):
        assert logged(tmp_path / "runs/latest", name) == pytest.approx(logged(alone, name), rel=1e-3)


def test_features_of_another_size_than_the_space_are_refused(coloured: Path) -> None:
    for name in ("video", "text"):
        experiment = small(coloured, f"headless=[{name}]", "embed_dim=8", file=FILE)
        with pytest.raises(ConfigError, match=f"headless: the {name} encoder gives {DIM} features and embed_dim is 8"):
            build_setup(experiment)


def test_a_modality_that_is_not_there_cannot_be_headless() -> None:
    with pytest.raises(ValidationError, match="headless: there is no text encoder; leave text out"):
        FrozenPair(text=None, texts=None, loss=InfoNCE())
