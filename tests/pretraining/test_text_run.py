"""Pretraining with text: three modalities in one run, IMU with text alone, parts, resuming, and what is refused."""

from __future__ import annotations

import json
import signal
from contextlib import chdir
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from support.imu_alone import IMU_ALONE, imu_alone, write_recordings
from support.interrupted_run import assert_same
from support.plain_losses import plain_text_contrast
from support.small_run import built_in_experiment, train
from support.small_training import logged, metrics, weights

from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.core.errors import DataError, Interrupted
from revalexo_clip.data.dataset import collate
from revalexo_clip.data.texts.base import NO_TEXT
from revalexo_clip.losses import InfoNCE, Overlap, Sum, Term, TextContrast
from revalexo_clip.losses.text_contrast import with_meaning
from revalexo_clip.pretraining.build import build_setup
from revalexo_clip.pretraining.run import pretrain
from revalexo_clip.runs.checkpoint import load_checkpoint

pytestmark = pytest.mark.filterwarnings("ignore:::lightning", "ignore:This DataLoader will create")

THREE = Sum(
    terms={
        "video": Term(InfoNCE(temperature=0.2)),
        "text": Term(TextContrast(temperature=0.2), weight=0.5),
        "seen": Term(TextContrast(of="video", temperature=0.3), weight=0.25),
    }
)
WORDS = {"text": {"type": "WordText"}, "texts": {"type": "ActivityTemplates"}}
WITH_TEXT = (
    'text={"type": "WordText", "buckets": 64, "width": 8, "features": 8}',
    "texts.type=ActivityTemplates",
    "loss.type=TextContrast",
)
"""Settings that align the IMU of the small experiment of IMU alone with text."""


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recordings(tmp_path_factory.mktemp("recordings") / "recordings.npz")


@pytest.fixture(scope="module")
def aligned(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """IMU aligned with text, without video."""
    return train(imu_alone(recordings, *WITH_TEXT), tmp_path_factory.mktemp("aligned"))


@pytest.mark.long
def test_three_modalities_are_aligned_in_one_run_and_validated_as_by_plain_loops(
    distinct: Path, tmp_path: Path
) -> None:
    experiment = built_in_experiment(distinct, loss=THREE, batch_size=5, **WORDS)
    run = train(experiment, tmp_path)
    for name in ("video", "text", "seen"):
        assert len(logged(run, f"train/loss/{name}")) == 1
    saved = load_checkpoint(run / "checkpoints/last.ckpt")
    model, dataset = saved.build_model(), experiment.data.build("val", experiment.seed)
    batch = collate([dataset[0, index] for index in range(len(dataset))])
    assert not isinstance(batch, DataError)
    assert len(batch.window_B) == 5, "one batch"
    tower = experiment.build_text()
    assert tower is not None
    tower.load_trained(saved.state, "text.tower.")
    label_B = batch.label_BK[:, 0]
    assert (label_B >= 0).any()
    names = [dataset.activities[max(label, 0)].replace("_", " ") for label in label_B.tolist()]
    text_BE = with_meaning(tower.embed([f"a person is {name}" for name in names]), label_B)
    with torch.no_grad():
        imu, video = model.encode_imu(batch.imu_BLC), model.encode_video(batch.video_BTHWC)
    overlap = Overlap(batch.recording_B, batch.time_B, 2.0)
    for name, x_BD in (("text", imu.embedding_BD), ("seen", video.embedding_BD)):
        scale = torch.tensor(1 / logged(run, f"train/temperature/{name}")[-1])
        expected = plain_text_contrast(x_BD, text_BE, scale, overlap)
        assert logged(run, f"val/loss/{name}")[-1] == pytest.approx(expected.item(), rel=1e-4, abs=1e-6)


@pytest.mark.long
def test_imu_is_aligned_with_text_without_video_and_the_loss_chooses(aligned: Path) -> None:
    losses = logged(aligned, "val/loss")
    assert len(losses) == 3
    assert len(logged(aligned, "train/chance")) == len(logged(aligned, "val/chance")) == 3
    assert len(logged(aligned, "val/selection")) == 3, "neighbours are measured, too"
    assert load_checkpoint(aligned / "checkpoints/best.ckpt").epoch == losses.index(min(losses)) + 1
    assert load_checkpoint(aligned / "checkpoints/best.ckpt").build_model().video is None
    assert "text   WordText, " in (aligned / "log.txt").read_text()


@pytest.mark.long
def test_parts_have_the_gradient_of_the_undivided_batch(recordings: Path, tmp_path: Path) -> None:
    settings = ("trainer.max_epochs=1", "optim.lr=0.01", "imu.type=DeepConvLSTM", "imu.maps=4", "imu.hidden=8")
    runs = []
    for name, more in (("whole", ()), ("parts", ("micro_batch=3",))):
        (tmp_path / name).mkdir()
        runs.append(train(imu_alone(recordings, *WITH_TEXT, *settings, *more), tmp_path / name))
    assert logged(runs[1], "train/loss") == pytest.approx(logged(runs[0], "train/loss"), rel=1e-4)
    one, other = (weights(run / "checkpoints/last.ckpt") for run in runs)
    assert any(name.startswith("text.tower.net.") for name in one)
    for name, value in one.items():
        torch.testing.assert_close(other[name], value, rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.long
def test_a_resumed_run_ends_bit_for_bit_as_an_uninterrupted_one(
    recordings: Path, aligned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = len(logged(aligned, "train/loss")) // 3
    with chdir(tmp_path):
        monkeypatch.setenv("SIGNAL_AT", f"{2 * steps + 3}:{signal.SIGTERM}")
        with pytest.raises(Interrupted):
            pretrain(imu_alone(recordings, *WITH_TEXT), IMU_ALONE)
        monkeypatch.setenv("SIGNAL_AT", "0:0")
        resumed = tmp_path / pretrain(imu_alone(recordings, *WITH_TEXT), IMU_ALONE, resume="newest")
    assert_same(resumed, aligned)


def test_a_batch_carries_the_sentences_that_its_windows_draw(distinct: Path) -> None:
    setup = build_setup(built_in_experiment(distinct, loss=THREE, **WORDS))
    assert setup.data.texts is not None
    batch = next(iter(setup.data.train_dataloader()))
    for place, (window, label) in enumerate(
        zip(batch.windows.window_B.tolist(), batch.windows.label_BK[:, 0].tolist(), strict=True)
    ):
        text = int(batch.text_B[place])
        assert text == setup.data.texts.draw(setup.train[0, window], setup.experiment.seed, 0, window)
        assert (text == NO_TEXT) == (label < 0)
    plain = build_setup(built_in_experiment(distinct))
    assert next(iter(plain.data.train_dataloader())).text_B.tolist() == [NO_TEXT] * 4


@pytest.mark.long
def test_the_weights_of_a_frozen_text_model_are_not_in_checkpoints(recordings: Path, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from support.tiny_text_models import write_bert

    folder = write_bert(tmp_path / "bert")
    frozen = f'text={{"type": "HFText", "model": "{folder}", "local_files_only": true}}'
    settings = (*WITH_TEXT[1:], "trainer.max_epochs=1", frozen)
    run = train(imu_alone(recordings, *settings), tmp_path)
    own = {name for name in weights(run / "checkpoints/last.ckpt") if name.startswith("text.")}
    assert {name.split(".")[2] for name in own} == {"head", "digest"}
    write_bert(folder, seed=1)
    longer = "trainer.max_epochs=2"
    with chdir(tmp_path), pytest.raises(DataError, match="HFText is not the encoder of the training"):
        pretrain(imu_alone(recordings, *settings, longer), IMU_ALONE, resume="newest", overrides=(longer,))


@pytest.mark.long
def test_narrations_of_moments_align_too(distinct: Path, tmp_path: Path) -> None:
    named = {
        f"Subject{subject}/0000": [{"time": time, "text": f"{word} {subject}"} for time, word in ((1, "a"), (3, "b"))]
        for subject in ("01", "02", "08")
    }
    (tmp_path / "own.json").write_text(json.dumps(named))
    texts = {"type": "Narrations", "file": str(tmp_path / "own.json")}
    run = train(built_in_experiment(distinct, loss=THREE, **WORDS | {"texts": texts}), tmp_path)
    assert len(metrics(run)) > 1
    assert all(value > 0 for value in logged(run, "train/loss/text"))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"text": {"type": "WordText"}}, "text: a text encoder and texts belong together"),
        ({"texts": {"type": "Narrations"}}, "set text=WordText too"),
        ({"loss": THREE}, "loss: TextContrast needs text"),
        (WORDS, "text: no term of the loss reads it"),
        ({**WORDS, "loss": THREE, "video": None}, "loss: it compares video, which needs video"),
        ({**WORDS, "loss": TextContrast(), "video": None, "best": "mrr"}, "best: mrr is that of retrieval"),
    ],
)
def test_what_does_not_fit_together_is_refused(fields: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        built_in_experiment(Path("nowhere"), **fields)


def test_text_without_video_may_end_with_the_last_epoch() -> None:
    experiment = built_in_experiment(Path("nowhere"), **WORDS, loss=TextContrast(), video=None, best="last")
    assert isinstance(experiment, PretrainExperiment)
