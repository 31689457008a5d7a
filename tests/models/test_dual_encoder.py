from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from lightning.pytorch.plugins.layer_sync import TorchSyncBatchNorm
from torch import Tensor, nn

from revalexo_clip.core.types import ImuSpec, VideoSpec
from revalexo_clip.models.dual_encoder import DualEncoder, FrameNormalization, ProjectionHead

SPEC = VideoSpec(frames=2, crop=5, short_side=5, window=2.0, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
IMU = ImuSpec(("a", "b", "c", "d"), ("m/s^2",) * 4, rate=5.0, window=2.0)
DIM = 6


class Mean(nn.Module):
    """A small encoder: averages over all axes between the first and the one that holds `channels`, then a Linear."""

    def __init__(self, channels: int, axis: int) -> None:
        super().__init__()
        self.axis = axis
        self.linear = nn.Linear(channels, DIM)

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.linear(x.movedim(self.axis, -1).flatten(1, -2).mean(dim=1))
        return features


def windows(count: int = 3) -> tuple[Tensor, Tensor]:
    return torch.randn(count, 10, 4), torch.randint(0, 256, (count, 2, 5, 5, 3), dtype=torch.uint8)


@pytest.fixture
def model() -> DualEncoder:
    torch.manual_seed(0)
    return DualEncoder(Mean(4, axis=2), Mean(3, axis=1), embed_dim=DIM, imu_spec=IMU, video_spec=SPEC)


def test_frames_become_normalised_colour_with_channels_first() -> None:
    _, video_BTHWC = windows()
    expected = (video_BTHWC.numpy().astype(np.float64) / 255 - np.array(SPEC.mean)) / np.array(SPEC.std)
    colour_B3THW = FrameNormalization(SPEC)(video_BTHWC)
    assert colour_B3THW.dtype == torch.float32
    assert colour_B3THW.shape == (3, 3, 2, 5, 5)
    np.testing.assert_allclose(colour_B3THW.numpy(), expected.transpose(0, 4, 1, 2, 3), rtol=1e-5, atol=1e-6)


def test_embeddings_of_both_modalities_are_unit_vectors(model: DualEncoder) -> None:
    for embedding_BD in model(*windows()):
        assert embedding_BD.shape == (3, DIM)
        torch.testing.assert_close(embedding_BD.norm(dim=1), torch.ones(3))


def test_embeddings_are_features_through_the_head_of_their_modality(model: DualEncoder) -> None:
    imu_BLC, video_BTHWC = windows()
    imu_BD, video_BD = model(imu_BLC, video_BTHWC)
    projected_BD = model.imu_head(model.imu_features(imu_BLC))
    torch.testing.assert_close(imu_BD, projected_BD / projected_BD.norm(dim=1, keepdim=True))
    assert model.video_head is not None
    projected_BD = model.video_head(model.video_features(video_BTHWC))
    torch.testing.assert_close(video_BD, projected_BD / projected_BD.norm(dim=1, keepdim=True))


def test_under_autocast_embeddings_are_unit_vectors_in_float32(model: DualEncoder) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        embeddings = model(*windows())
    for embedding_BD in embeddings:
        assert embedding_BD.dtype == torch.float32
        torch.testing.assert_close(embedding_BD.norm(dim=1), torch.ones(3))


def test_every_parameter_of_both_towers_gets_a_gradient(model: DualEncoder) -> None:
    imu_BD, video_BD = model(*windows())
    (imu_BD * video_BD).sum().backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_projection_head_is_two_layers_of_the_embedding_size() -> None:
    head = ProjectionHead(DIM, DIM)
    assert sum(parameter.numel() for parameter in head.parameters()) == 2 * (DIM * DIM + DIM)
    x_BD = torch.randn(3, DIM)
    torch.testing.assert_close(head(x_BD), head.output(head.hidden(x_BD).clamp(min=0)))


def test_colour_normalisation_travels_with_the_weights(model: DualEncoder) -> None:
    assert {"frames.mean", "frames.std"} <= set(model.state_dict())


def test_the_model_standardises_each_channel_if_the_spec_has_statistics(model: DualEncoder) -> None:
    mean, std = (1.0, -2.0, 3.0, 0.5), (2.0, 0.5, 4.0, 1.0)
    standardising = DualEncoder(
        model.imu, model.video, embed_dim=DIM, imu_spec=replace(IMU, mean=mean, std=std), video_spec=SPEC
    )
    imu_BLC, _ = windows()
    by_hand_BLC = (imu_BLC - torch.tensor(mean)) / torch.tensor(std)
    torch.testing.assert_close(standardising.imu_features(imu_BLC), model.imu_features(by_hand_BLC))
    assert not torch.equal(model.imu_features(imu_BLC), model.imu_features(by_hand_BLC))
    assert {"samples.mean", "samples.std"} <= set(standardising.state_dict())


class Tower(nn.Sequential):
    """Two blocks, both with batch norm and dropout."""

    def __init__(self, size: int) -> None:
        super().__init__(*(nn.Sequential(nn.Linear(n, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)) for n in (size, 4)))


def half_frozen() -> DualEncoder:
    """Return a model in training mode with a frozen IMU encoder and a frozen first block of the video encoder."""
    torch.manual_seed(0)
    imu, video = Tower(3), Tower(5)
    model = DualEncoder(imu, video, embed_dim=4, imu_spec=IMU, video_spec=SPEC)
    model.freeze([imu, video[0]])
    return model


def frozen_parts(model: DualEncoder) -> list[nn.Module]:
    return [model.imu, model.get_submodule("video.0")]


def test_frozen_parts_always_stay_in_eval_mode() -> None:
    model = half_frozen()
    whole = nn.ModuleList([model])
    for call in (whole.train, whole.eval, model.train, lambda: model.train(mode=False), whole.train):
        call()
        assert not any(module.training for part in frozen_parts(model) for module in part.modules())
        assert model.get_submodule("video.1.2").training == model.get_submodule("video_head").training == model.training
    assert model.training


def test_frozen_parts_keep_weights_and_statistics_and_drop_nothing() -> None:
    model = half_frozen()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    features = [model.imu(torch.ones(6, 3)) for _ in range(2)]
    assert torch.equal(*features)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    assert model.video is not None
    (model.imu_head(features[0]).sum() + model.project_video(model.video(torch.randn(6, 5)))[:, 0].sum()).backward()
    optimizer.step()
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert not any(name.startswith(("imu.", "video.0.")) for name in changed)
    assert {"video.1.1.running_mean", "video.1.0.weight", "imu_head.output.weight"} <= changed


def test_no_graph_is_built_through_frozen_parts() -> None:
    model = half_frozen()
    assert model.imu(torch.randn(6, 3)).grad_fn is None
    assert model.get_submodule("video.0")(torch.randn(6, 5)).grad_fn is None
    assert model.imu_head(model.imu(torch.randn(6, 3))).requires_grad


def test_frozen_batch_norm_stays_frozen_if_lightning_synchronises_it() -> None:
    model = half_frozen()
    TorchSyncBatchNorm().apply(model)
    model.train()
    norms = {name: part.training for name, part in model.named_modules() if isinstance(part, nn.SyncBatchNorm)}
    assert norms == {"imu.0.1": False, "imu.1.1": False, "video.0.1": False, "video.1.1": True}
