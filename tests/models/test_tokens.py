from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.types import ImuSpec, MotionSpec, VideoSpec
from revalexo_clip.models.dual_encoder import DualEncoder, Vectors
from revalexo_clip.models.encoders import MotionTower, ResNet1D
from revalexo_clip.models.sequence import Encoded, SequenceNet
from revalexo_clip.models.tokens import TokenHead, Tokens, common_times, interpolation

IMU = ImuSpec(tuple(f"acc_{axis}" for axis in "xyz"), ("m/s^2",) * 3, rate=60.0, window=2.0)
VIDEO = VideoSpec(frames=0, crop=8, short_side=8, window=2.0, motion=MotionSpec(30.0, 2.0, rows=2, columns=2))


class Fixed(SequenceNet):
    """A sequence of 5 features that is the input itself; features are its mean."""

    def __init__(self, *times: float) -> None:
        super().__init__()
        self.sequence_dim = 5
        self.register_buffer("time_T", torch.tensor(times, dtype=torch.float32), persistent=False)

    def encode(self, *inputs: Tensor) -> Encoded:
        return Encoded(inputs[0].mean(dim=1), inputs[0])


def dual(tokens: Tokens | None) -> DualEncoder:
    torch.manual_seed(0)
    imu, video = ResNet1D(width=8), MotionTower(width=16)
    return DualEncoder(
        imu.build(IMU, 6),
        video.build(VIDEO, 6),
        embed_dim=6,
        imu_spec=IMU,
        video_spec=VIDEO,
        feature_dims={"imu": imu.feature_dim(6), "video": video.feature_dim(6)},
        tokens=tokens,
    ).eval()


def windows() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(3, 120, 3), torch.zeros(3, 0, 0, 0, 3, dtype=torch.uint8), torch.rand(3, 60, 2, 2, 3)


def test_common_times_are_centres_of_equal_parts_of_what_both_encoders_cover() -> None:
    time_S = common_times(4, {"imu": torch.tensor([0.25, 1.0, 1.75]), "video": torch.tensor([0.0, 1.25])})
    np.testing.assert_allclose(time_S, [0.375, 0.625, 0.875, 1.125])


def test_encoders_without_a_common_time_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"no time of the window in common \(imu 0.00 to 0.50 s, video 0.75 to 1.00"):
        common_times(4, {"imu": torch.tensor([0.0, 0.5]), "video": torch.tensor([0.75, 1.0])})


def test_a_sequence_that_is_linear_in_time_is_interpolated_exactly_at_uneven_moments() -> None:
    time_T = np.array([0.0, 0.1, 0.5, 0.6, 2.0])
    time_S = np.array([0.05, 0.1, 0.55, 1.3, 2.0])
    weight_ST = interpolation(time_T, time_S)
    np.testing.assert_allclose(weight_ST @ (3 * time_T - 1), 3 * time_S - 1, atol=1e-12)
    assert ((weight_ST > 0).sum(axis=1) <= 2).all(), "only neighbours count"


@pytest.mark.parametrize("normalize", ["window", "token"])
def test_tokens_are_the_mapped_sequence_interpolated_in_time_and_normalised(
    normalize: Literal["window", "token"],
) -> None:
    torch.manual_seed(0)
    time_T, time_S = torch.tensor([0.0, 0.2, 0.8, 1.0]), [0.1, 0.5, 0.9]
    head = TokenHead(Tokens(count=3, dim=2, normalize=normalize), 5, time_T, time_S)
    nn.init.normal_(head.linear.bias)
    sequence_BTE = torch.randn(2, 4, 5)
    expected = np.zeros((2, 3, 2))
    for window in range(2):
        for token, time in enumerate(time_S):
            feature_E = [np.interp(time, time_T.numpy(), sequence_BTE[window, :, feature]) for feature in range(5)]
            expected[window, token] = head.linear(torch.tensor(np.array(feature_E)).float()).detach().numpy()
    if normalize == "window":
        expected /= np.sqrt((expected**2).sum(axis=(1, 2), keepdims=True))
    else:
        expected /= np.sqrt((expected**2).sum(axis=2, keepdims=True)) * np.sqrt(3)
    tokens_BE = head(sequence_BTE)
    np.testing.assert_allclose(tokens_BE.detach().numpy(), expected.reshape(2, 6), atol=1e-6)
    torch.testing.assert_close(tokens_BE.norm(dim=1), torch.ones(2))


def test_the_product_of_two_windows_with_equal_tokens_is_the_mean_of_the_cosines() -> None:
    head = TokenHead(Tokens(count=3, dim=2, normalize="token"), 5, torch.tensor([0.0, 1.0]), [0.1, 0.5, 0.9])
    a_BE, b_BE = head(torch.randn(1, 2, 5)), head(torch.randn(1, 2, 5))
    cosines = nn.functional.cosine_similarity(a_BE.view(3, 2), b_BE.view(3, 2), dim=1)
    torch.testing.assert_close((a_BE * b_BE).sum(), cosines.mean())


def test_an_event_is_at_the_same_token_in_encoders_with_other_moments() -> None:
    early, late = Fixed(*np.linspace(0.33, 1.67, 80)), Fixed(*np.linspace(0.0, 2.0, 31))
    time_S = common_times(30, {"imu": early.time_T, "video": late.time_T})
    places = []
    for encoder in (early, late):
        head = TokenHead(Tokens(dim=5), 5, encoder.time_T, time_S)
        nn.init.eye_(head.linear.weight)
        event_1T5 = (-((encoder.time_T - 1.4) ** 2) / 0.01).exp().view(1, -1, 1).expand(1, -1, 5)
        places.append(int(head(event_1T5).view(30, 5)[:, 0].argmax()))
    assert places[0] == places[1] == int(np.abs(np.array(time_S) - 1.4).argmin())


def test_a_model_with_tokens_gives_all_vectors_and_retrieves_by_tokens() -> None:
    model = dual(Tokens(count=7, dim=3))
    imu_BLC, video_BTHWC, motion_BMYX3 = windows()
    imu, video = model.encode_imu(imu_BLC), model.encode_video(video_BTHWC, motion_BMYX3)
    assert [tuple(vector.shape) for vector in imu if vector is not None] == [(3, 32), (3, 6), (3, 21)]
    assert [tuple(vector.shape) for vector in video if vector is not None] == [(3, 64), (3, 6), (3, 21)]
    for vectors in (imu, video):
        assert isinstance(vectors, Vectors)
        assert vectors.tokens_BE is not None
        for unit_BD in (vectors.embedding_BD, vectors.tokens_BE):
            torch.testing.assert_close(unit_BD.norm(dim=1), torch.ones(3))
    assert torch.equal(model.embed_imu(imu_BLC), imu.retrieval)
    assert imu.retrieval is imu.tokens_BE
    assert all(map(torch.equal, model(imu_BLC, video_BTHWC, motion_BMYX3), (imu.retrieval, video.retrieval)))
    assert torch.equal(imu.features_BF, model.imu_features(imu_BLC))
    assert torch.equal(imu.embedding_BD, model.project_imu(imu.features_BF))


def test_a_model_without_tokens_retrieves_by_embeddings_and_has_the_same_weights() -> None:
    plain, model = dual(None), dual(Tokens())
    imu_BLC, _, _ = windows()
    vectors = plain.encode_imu(imu_BLC)
    assert vectors.tokens_BE is None
    assert torch.equal(plain.embed_imu(imu_BLC), vectors.embedding_BD)
    assert torch.equal(vectors.embedding_BD, model.encode_imu(imu_BLC).embedding_BD)


def test_every_weight_gets_a_gradient_from_embeddings_and_tokens_together() -> None:
    model = dual(Tokens()).train()
    imu_BLC, video_BTHWC, motion_BMYX3 = windows()
    loss = torch.zeros(())
    for vectors in (model.encode_imu(imu_BLC), model.encode_video(video_BTHWC, motion_BMYX3)):
        assert vectors.tokens_BE is not None
        loss = loss + vectors.embedding_BD[:, 0].sum() + vectors.tokens_BE[:, 0].sum()
    torch.autograd.backward(loss)
    assert [name for name, weight in model.named_parameters() if weight.grad is None] == []


def test_under_autocast_tokens_are_unit_vectors_in_float32() -> None:
    model = dual(Tokens())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        tokens_BE = model.embed_imu(windows()[0])
    assert tokens_BE.dtype == torch.float32
    torch.testing.assert_close(tokens_BE.norm(dim=1), torch.ones(3))


def test_an_encoder_without_moments_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"tokens: the imu encoder \(Linear\) gives no features of moments"):
        DualEncoder(nn.Linear(3, 6), Fixed(0.0, 1.0), embed_dim=6, imu_spec=IMU, video_spec=VIDEO, tokens=Tokens())
