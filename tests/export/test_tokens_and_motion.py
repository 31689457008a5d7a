"""Exports of encoders that keep time: tokens, measured motion, and features that are no projection."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.small_run import built_in_experiment
from torch import Tensor

from revalexo_clip import load_encoder
from revalexo_clip.core.types import MotionSpec, VideoSpec
from revalexo_clip.export import PretrainedEncoder, PretrainedImuEncoder, PretrainedVideoEncoder
from revalexo_clip.export.folder import export_encoder
from revalexo_clip.finetuning.initial_encoder import read_encoders
from revalexo_clip.models.classifier import LinearHeads
from revalexo_clip.models.dual_encoder import DualEncoder
from revalexo_clip.runs.checkpoint import PRETRAINING_KEY, load_checkpoint

MOTION = MotionSpec(rate=30.0, window=2.0, rows=2, columns=3)
VIDEO = VideoSpec(frames=2, crop=16, short_side=16, window=2.0, motion=MOTION)
TOKENS = {"count": 6, "dim": 4}


def rewrite(
    run: Path,
    tokens: dict[str, int] | None = None,
    video: VideoSpec = VIDEO,
    imu: dict[str, int] | None = None,
    **tower: object,
) -> DualEncoder:
    """Replace the checkpoint of a run by one of a ResNet1D and a MotionTower with new weights."""
    path = run / "checkpoints" / "best.ckpt"
    description = load_checkpoint(path).description
    fields = {
        "imu": {"type": "ResNet1D", "width": 8} | (imu or {}),
        "video": {"type": "MotionTower", "width": 12} | tower,
        "tokens": tokens,
    }
    experiment = built_in_experiment(Path("nowhere"), **fields)
    torch.manual_seed(0)
    model = experiment.build_model(description.imu_spec, video).eval()
    described = description.model_copy(update={"experiment": experiment, "video_spec": video}).model_dump_json()
    state = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    path.unlink()  # not written through a link to the original
    torch.save({PRETRAINING_KEY: described, "state_dict": state, "epoch": 0, "global_step": 1}, path)
    return model


def windows() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    video_BTHWC = torch.randint(256, (3, 2, 16, 16, 3), dtype=torch.uint8, generator=generator)
    return torch.randn(3, 120, 6, generator=generator), video_BTHWC, torch.rand(3, 60, 2, 3, 3, generator=generator)


def exported(run: Path) -> tuple[PretrainedImuEncoder, PretrainedVideoEncoder]:
    imu, video = (load_encoder(export_encoder(modality, run).files[0].parent) for modality in ("imu", "video"))
    assert isinstance(imu, PretrainedImuEncoder)
    assert isinstance(video, PretrainedVideoEncoder)
    return imu, video


@pytest.mark.long
@torch.no_grad()
def test_embeddings_are_the_checkpoint_s_tokens_and_features_its_readout(run: Path) -> None:
    model = rewrite(run, TOKENS)
    imu, video = exported(run)
    imu_BLC, video_BTHWC, motion_BMYX3 = windows()
    for vectors, features, embedding, encoder in (
        (model.encode_imu(imu_BLC), imu(imu_BLC), imu.embed(imu_BLC), imu),
        (
            model.encode_video(video_BTHWC, motion_BMYX3),
            video(motion=motion_BMYX3),
            video.embed(motion=motion_BMYX3),
            video,
        ),
    ):
        assert vectors.tokens_BE is not None
        assert torch.equal(features, vectors.features_BF)
        assert torch.equal(embedding, vectors.tokens_BE)
        assert torch.equal(encoder.project(features), vectors.embedding_BD)
        assert features.shape[1] == encoder.description.feature_dim
        assert embedding.shape[1] == encoder.description.retrieval_dim
    assert torch.equal(imu.tokens(imu_BLC).flatten(1), imu.embed(imu_BLC))
    assert video.tokens(motion=motion_BMYX3).shape == (3, 6, 4)


@pytest.mark.long
@torch.no_grad()
def test_an_encoder_with_a_second_network_has_its_features_and_the_tokens_of_the_first(run: Path) -> None:
    model = rewrite(run, TOKENS, imu={"pooled_width": 12})
    imu, _ = exported(run)
    imu_BLC, _, _ = windows()
    vectors = model.encode_imu(imu_BLC)
    assert imu(imu_BLC).shape == (3, imu.description.feature_dim) == (3, 48)
    assert torch.equal(imu(imu_BLC), vectors.features_BF)
    assert torch.equal(imu(imu_BLC), model.imu_features(imu_BLC))
    assert vectors.tokens_BE is not None
    assert torch.equal(imu.embed(imu_BLC), vectors.tokens_BE)
    classifier = read_encoders(run).architecture.build(LinearHeads(), "features", horizons=1, activities=3).eval()
    read_encoders(run).load_into(classifier)
    assert torch.equal(classifier.encoder("imu")(imu_BLC), vectors.features_BF)


@pytest.mark.long
def test_both_encoders_have_tokens_at_the_same_times(run: Path) -> None:
    rewrite(run, TOKENS)
    imu, video = (encoder.description.token_times for encoder in exported(run))
    assert imu == video
    assert imu is not None
    first, last = 0.5 / 30, 29 * 4 / 60  # the video starts later, the IMU ends earlier
    assert imu == pytest.approx([first + (place + 0.5) * (last - first) / 6 for place in range(6)])


@pytest.mark.long
def test_a_recording_is_embedded_by_tokens(run: Path) -> None:
    rewrite(run, TOKENS)
    imu, _ = exported(run)
    walk_nC = torch.randn(300, 6, generator=torch.Generator().manual_seed(0)).numpy()
    assert imu.embed_recording(walk_nC, rate=60.0).vector_ND.shape[1] == 24
    assert imu.recording_features(walk_nC, rate=60.0).vector_ND.shape[1] == 32


@pytest.mark.long
def test_an_encoder_without_tokens_says_so(run: Path) -> None:
    rewrite(run)
    imu, video = exported(run)
    imu_BLC, _, motion_BMYX3 = windows()
    assert imu.embed(imu_BLC).shape == (3, 16)
    assert torch.equal(imu.embed(imu_BLC), imu.project(imu(imu_BLC)))
    with pytest.raises(ValueError, match="this encoder has no tokens"):
        video.tokens(motion=motion_BMYX3)


@pytest.mark.long
@torch.no_grad()
def test_an_encoder_that_looks_at_frames_takes_both(run: Path) -> None:
    model = rewrite(run, TOKENS, color="sequence", color_width=4)
    _, video = exported(run)
    _, video_BTHWC, motion_BMYX3 = windows()
    assert torch.equal(video.embed(video_BTHWC, motion_BMYX3), model.embed_video(video_BTHWC, motion_BMYX3))
    assert video.description.inputs == ("video", "motion")
    with pytest.raises(ValueError, match=r"takes frames: pass uint8"):
        video(motion=motion_BMYX3)
    card = (run / "export" / "video" / "README.md").read_text()
    assert "features = encoder(frames, motion)  # frames: uint8 [B, T, H, W, 3], motion: float32" in card
    assert "[B, 2, 16, 16, 3] uint8 RGB" in card


@pytest.mark.long
def test_motion_that_is_missing_or_of_another_format_is_refused(run: Path) -> None:
    rewrite(run)
    _, video = exported(run)
    with pytest.raises(ValueError, match=r"takes measured motion: pass motion=\[B, 60, 2, 3, 3\]"):
        video(windows()[1])
    with pytest.raises(ValueError, match=r"float \[B, 60, 2, 3, 3\] \(2 s at 30 Hz\), not torch.float32 \[3, 59, 2"):
        video(motion=windows()[2][:, 1:])


@pytest.mark.long
def test_the_card_describes_motion_features_and_tokens(run: Path) -> None:
    rewrite(run, TOKENS)
    exported(run)
    card = (run / "export" / "video" / "README.md").read_text()
    assert "features = encoder(motion=motion)  # motion: float32 [B, M, Y, X, 3]" in card
    assert "Measured motion [B, 60, 2, 3, 3] float32: motion of the image to the right and down" in card
    assert "uint8" not in card
    assert "returns features [B, 48]" in card
    assert "unit vectors [B, 24] in the space shared with the other modality: 6 tokens of 4 values each" in card


@pytest.mark.long
@pytest.mark.parametrize("source", ["run", "export"])
@torch.no_grad()
def test_a_classifier_takes_the_readout_of_an_imported_encoder(run: Path, source: str) -> None:
    model = rewrite(run, TOKENS)
    where = run if source == "run" else export_encoder("imu", run).files[0].parent
    pretrained = read_encoders(where)
    assert pretrained.architecture.feature_dims == ([32, 48] if source == "run" else [32])
    classifier = pretrained.architecture.build(LinearHeads(), "features", horizons=1, activities=3).eval()
    pretrained.load_into(classifier)
    imu_BLC, video_BTHWC, motion_BMYX3 = windows()
    output = classifier(imu_BLC, video_BTHWC, motion_BMYX3)
    assert output.logits_BKA.shape == (3, 1, 3)
    assert torch.equal(classifier.encoder("imu")(imu_BLC), model.imu_features(imu_BLC))


@pytest.mark.long
@pytest.mark.parametrize("color", [None, "pooled"])
def test_both_are_written_as_onnx_and_checked(run: Path, color: str | None) -> None:
    rewrite(run, TOKENS, imu={"pooled_width": 12 if color is None else 0}, color=color, color_width=4)
    encoders: list[PretrainedEncoder] = []
    for modality in ("imu", "video"):
        export = export_encoder(modality, run, format="onnx")
        assert export.description.onnx is not None
        assert export.description.onnx.difference < 1e-4
        encoders.append(load_encoder(export.files[0].parent))
    card = (run / "export" / "video" / "README.md").read_text()
    assert f"`encoder.onnx` has the {'input `motion`' if color is None else 'inputs `video` and `motion`'}" in card
