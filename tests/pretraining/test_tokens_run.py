"""Pretraining with terms on tokens and on two views of the IMU, beside the pooled one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.plain_losses import plain_info_nce
from support.small_run import built_in_experiment, train
from support.small_training import logged, metrics

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.types import Batch
from revalexo_clip.data.dataset import collate
from revalexo_clip.losses import InfoNCE, Overlap, SelfContrast, Sum, Term
from revalexo_clip.pretraining.build import build_setup
from revalexo_clip.pretraining.validation import Gallery
from revalexo_clip.runs.checkpoint import load_checkpoint

pytestmark = pytest.mark.filterwarnings("ignore:::lightning")

TOKENS = {"count": 4, "dim": 3}
LOSS = Sum(
    terms={
        "aligned": Term(InfoNCE(on="tokens", temperature=0.2)),
        "pooled": Term(InfoNCE(temperature=0.5), weight=0.5),
        "self": Term(SelfContrast(temperature=0.3), weight=0.25),
    }
)
NOISE = ({"type": "GaussianNoise"},)


@pytest.fixture(scope="module")
def trained(distinct: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    experiment = built_in_experiment(distinct, tokens=TOKENS, loss=LOSS, imu_augment=NOISE, batch_size=5)
    return train(experiment, tmp_path_factory.mktemp("tokens"))


@pytest.mark.long
def test_the_terms_of_validation_are_those_of_plain_loops_over_tokens_and_embeddings(
    trained: Path, distinct: Path
) -> None:
    experiment = built_in_experiment(distinct, tokens=TOKENS, loss=LOSS, imu_augment=NOISE, batch_size=5)
    dataset = experiment.data.build("val", experiment.seed)
    samples = [dataset[0, index] for index in range(len(dataset))]
    assert len(samples) == 5, "one batch"
    model = load_checkpoint(trained / "checkpoints/last.ckpt").build_model()
    with torch.no_grad():
        imu = model.encode_imu(torch.stack([sample.imu_LC for sample in samples]))
        video = model.encode_video(torch.stack([sample.video_THWC for sample in samples]))
    overlap = Overlap(
        torch.stack([sample.recording for sample in samples]), torch.stack([sample.time for sample in samples]), 2.0
    )
    assert imu.tokens_BE is not None
    assert video.tokens_BE is not None
    pairs = {"aligned": (imu.tokens_BE, video.tokens_BE), "pooled": (imu.embedding_BD, video.embedding_BD)}
    for name, (imu_ND, video_ND) in pairs.items():
        scale = torch.tensor(1 / logged(trained, f"train/temperature/{name}")[-1])
        expected = plain_info_nce(imu_ND, video_ND, scale, overlap)
        assert logged(trained, f"val/loss/{name}")[-1] == pytest.approx(expected.item(), rel=1e-4)
    logs = {name: float(value) for row in metrics(trained) for name, value in row.items() if value}
    assert logs["val/loss"] == pytest.approx(logs["val/loss/aligned"] + 0.5 * logs["val/loss/pooled"])
    assert "val/loss/self" not in logs
    assert logs["train/loss/self"] > 0
    assert logs["train/temperature/self"] != pytest.approx(0.3, rel=1e-7)


@pytest.mark.long
def test_retrieval_is_that_of_tokens(distinct: Path) -> None:
    experiment = built_in_experiment(distinct, tokens=TOKENS, loss=LOSS, imu_augment=NOISE)
    setup = build_setup(experiment)
    batch = collate([setup.val[0, index] for index in range(5)])
    assert isinstance(batch, Batch)
    with torch.no_grad():
        gallery = Gallery.of(setup.module.collect(batch), ("imu", "video", "imu_tokens", "video_tokens"))
        imu_ND, video_ND = setup.model(batch.imu_BLC, batch.video_BTHWC)
    assert imu_ND.shape == (5, 12)
    torch.testing.assert_close(gallery.imu_ND, imu_ND)
    torch.testing.assert_close(gallery.video_ND, video_ND)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"loss": LOSS, "imu_augment": NOISE}, r"set tokens=\.\.\."),
        ({"tokens": TOKENS}, "tokens: no term of the loss reads them"),
        ({"tokens": TOKENS, "loss": LOSS}, "imu_augment: the loss compares two augmentations"),
    ],
)
def test_a_loss_that_does_not_fit_is_refused(fields: dict[str, object], message: str, distinct: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        build_setup(built_in_experiment(distinct, **fields))
