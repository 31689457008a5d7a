from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.types import ImuSpec, Modality, VideoSpec
from revalexo_clip.losses import InfoNCE, SigLIP, Sum, Term
from revalexo_clip.models.dual_encoder import DualEncoder
from revalexo_clip.models.encoders import X3D, DeepConvLSTM, MViT
from revalexo_clip.optim import AdamW, split_by_decay
from revalexo_clip.training.step_functions import learning_rates

VIDEO = VideoSpec(frames=2, crop=32, short_side=32, window=2.0)
IMU = ImuSpec(("acc_x", "acc_y"), ("m/s^2", "m/s^2"), rate=60.0, window=2.0)


def deep_conv_lstm() -> nn.Module:
    return DeepConvLSTM(maps=2, hidden=3).build(IMU, 4)


def x3d() -> nn.Module:
    return X3D(weights=None).build(VIDEO, 4)


def mvit() -> nn.Module:
    return MViT(weights=None).build(VIDEO, 4)


def info_nce() -> nn.Module:
    return InfoNCE().build()


def dual_encoder() -> nn.Module:
    return DualEncoder(nn.Linear(2, 4), nn.Linear(2, 4), embed_dim=4, imu_spec=IMU, video_spec=VIDEO)


def names(model: nn.Module) -> tuple[set[str], set[str]]:
    """Names of the parameters that are decayed, and of those that are not."""
    decayed, kept = split_by_decay(model)
    name_of = {parameter: name for name, parameter in model.named_parameters()}
    return {name_of[parameter] for parameter in decayed}, {name_of[parameter] for parameter in kept}


@pytest.mark.parametrize("build", [deep_conv_lstm, x3d, mvit, info_nce, dual_encoder])
def test_every_trainable_parameter_is_in_exactly_one_group(build: Callable[[], nn.Module]) -> None:
    model = build()
    optimizer, _ = AdamW().build(nn.ModuleDict({"model": model, "other": nn.Linear(2, 2)}), steps=10)
    grouped = [id(parameter) for group in optimizer.param_groups for parameter in group["params"]]
    trainable = [id(parameter) for parameter in model.parameters()]
    assert len(grouped) == len(set(grouped)) == len(trainable) + 2
    assert set(trainable) < set(grouped)


def test_of_deep_conv_lstm_all_but_the_biases_is_decayed() -> None:
    decayed, kept = names(deep_conv_lstm())
    assert decayed == {
        *(f"conv{i}.weight" for i in (1, 2, 3, 4)),
        "lstm.weight_ih_l0",
        "lstm.weight_hh_l0",
        "feature_projector.weight",
    }
    assert kept == {
        *(f"conv{i}.bias" for i in (1, 2, 3, 4)),
        "lstm.bias_ih_l0",
        "lstm.bias_hh_l0",
        "feature_projector.bias",
    }


def test_of_x3d_kernels_and_matrices_are_decayed_and_norms_and_biases_are_not() -> None:
    net = x3d()
    matrices = [part for part in net.modules() if isinstance(part, (nn.Conv3d, nn.Linear))]
    decayed, _ = split_by_decay(net)
    assert {id(parameter) for parameter in decayed} == {id(part.weight) for part in matrices}


def test_of_mvit_the_class_token_and_the_positions_are_not_decayed() -> None:
    net = mvit()
    matrices = [part for part in net.modules() if isinstance(part, (nn.Conv3d, nn.Linear))]
    decayed, _ = split_by_decay(net)
    assert {id(parameter) for parameter in decayed} == {id(part.weight) for part in matrices}
    _, kept = names(net)
    tokens = ("cls_token", "pos_embed_spatial", "pos_embed_temporal", "pos_embed_class")
    assert {f"backbone.cls_positional_encoding.{token}" for token in tokens} <= kept


def test_the_temperature_is_not_decayed() -> None:
    assert names(info_nce()) == (set(), {"log_scale"})


class Prototypes(nn.Module):
    """A part of a loss that is exempt from weight decay."""

    no_weight_decay = True

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(2, 2)


def test_norms_over_several_axes_and_whole_exempt_modules_are_not_decayed() -> None:
    model = nn.ModuleDict({"norm": nn.LayerNorm([2, 3]), "prototypes": Prototypes(), "matrix": nn.Linear(2, 2)})
    assert names(model)[0] == {"matrix.weight"}


def test_a_vector_is_never_decayed() -> None:
    model = nn.Linear(2, 2)
    model.register_parameter("layer_scale", nn.Parameter(torch.ones(2)))
    assert names(model) == ({"weight"}, {"bias", "layer_scale"})


def test_a_parameter_shared_with_an_exempt_module_is_not_decayed() -> None:
    matrix, prototypes = nn.Linear(2, 2), Prototypes()
    prototypes.map.weight = matrix.weight
    decayed, kept = split_by_decay(nn.ModuleList([matrix, prototypes]))
    assert decayed == []
    assert [id(parameter) for parameter in kept].count(id(matrix.weight)) == 1


def test_a_parameter_in_two_places_is_updated_once_and_frozen_ones_never() -> None:
    shared, frozen = nn.Linear(2, 2), nn.Linear(2, 2).requires_grad_(requires_grad=False)
    decayed, kept = split_by_decay(nn.ModuleList([shared, nn.Sequential(shared), frozen]))
    assert decayed == [shared.weight]
    assert kept == [shared.bias]


def test_without_gradients_a_step_only_shrinks_decayed_parameters() -> None:
    model = nn.Linear(2, 2)
    weight, bias = model.weight.detach().clone(), model.bias.detach().clone()
    optimizer, _ = AdamW(lr=0.1, weight_decay=0.5).build(model, steps=10)
    model(torch.zeros(1, 2)).mul(0).sum().backward()
    optimizer.step()
    torch.testing.assert_close(model.weight, weight * (1 - 0.1 * 0.5))
    assert torch.equal(model.bias, bias)


Towers = Mapping[str, Sequence[nn.Module]]


class TwoTowers(nn.Module):
    """Towers of linear layers with norms, and a head that shares a matrix with the first blocks."""

    def __init__(self, imu: int, video: int) -> None:
        super().__init__()
        self.imu, self.video = (nn.ModuleList(self._block() for _ in range(count)) for count in (imu, video))
        self.head = nn.Linear(2, 2)
        self.shared = nn.Parameter(torch.ones(2, 2))
        for block in (self.imu[0], self.video[0]):
            block.register_parameter("shared", self.shared)

    @staticmethod
    def _block() -> nn.Module:
        return nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))

    def towers(self) -> Towers:
        return {"imu": list(self.imu), "video": list(self.video)}


@pytest.mark.long
@given(
    counts=st.tuples(st.integers(2, 5), st.integers(2, 5)),
    scales=st.tuples(st.sampled_from([0.1, 1.0, 3.0]), st.sampled_from([0.5, 1.0])),
    decays=st.tuples(st.sampled_from([0.5, 1.0]), st.sampled_from([0.7, 1.0])),
    frozen=st.integers(0, 2),
)
def test_each_block_has_its_learning_rate_and_every_trainable_parameter_one_group(
    counts: tuple[int, int], scales: tuple[float, float], decays: tuple[float, float], frozen: int
) -> None:
    model = TwoTowers(*counts)
    for block in model.imu[:frozen]:
        block.requires_grad_(requires_grad=False)
    recipe = AdamW(
        lr=0.1,
        weight_decay=0.3,
        **dict(zip(("imu_lr_scale", "video_lr_scale"), scales, strict=True)),
        **dict(zip(("imu_layer_decay", "video_layer_decay"), decays, strict=True)),
    )
    optimizer, schedule = recipe.build(nn.ModuleList([model]), steps=10)
    grouped = [(id(parameter), group) for group in optimizer.param_groups for parameter in group["params"]]
    trainable = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    assert len(grouped) == len(trainable)
    group_of = dict(grouped)
    assert set(group_of) == trainable
    for blocks, scale, decay in zip((model.imu, model.video), scales, decays, strict=True):
        for place, block in enumerate(blocks):
            for name, parameter in block.get_submodule("0").named_parameters():
                if parameter.requires_grad:
                    group = group_of[id(parameter)]
                    assert group["lr"] == pytest.approx(0.1 * scale * decay ** (len(blocks) - 1 - place))
                    assert group["weight_decay"] == (0.3 if name == "weight" else 0)
    assert group_of[id(model.head.bias)]["lr"] == 0.1
    names_of_groups = [group["name"] for group in optimizer.param_groups]
    assert len(names_of_groups) == len(set(names_of_groups))
    before = [group["lr"] for group in optimizer.param_groups]
    optimizer.step()
    schedule.step()
    fall = recipe.rate(1, 10) / recipe.rate(0, 10)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([fall * rate for rate in before])


@pytest.mark.long
def test_of_mvit_patches_train_slowest_and_the_projection_at_the_rate_of_the_encoder() -> None:
    encoder, video = MViT(weights=None), mvit()
    imu = nn.Linear(2, 4)
    blocks: dict[Modality, list[nn.Module]] = {"imu": [imu], "video": encoder.blocks(video)}
    model = DualEncoder(imu, video, embed_dim=4, imu_spec=IMU, video_spec=VIDEO, blocks=blocks)
    optimizer, _ = AdamW(lr=1.0, video_layer_decay=0.5).build(model, steps=10)
    rates = {id(parameter): group["lr"] for group in optimizer.param_groups for parameter in group["params"]}
    for name, expected in {
        "backbone.patch_embed.patch_model.weight": 0.5**17,
        "backbone.cls_positional_encoding.cls_token": 0.5**17,
        "backbone.blocks.0.attn.q.weight": 0.5**16,
        "backbone.blocks.15.mlp.fc2.bias": 0.5,
        "backbone.norm_embed.weight": 1.0,
        "projection.weight": 1.0,
    }.items():
        assert rates[id(video.get_parameter(name))] == expected
    assert rates[id(imu.weight)] == rates[id(model.get_parameter("video_head.output.weight"))] == 1.0


def test_groups_are_named_after_their_place() -> None:
    optimizer, _ = AdamW(lr=0.1, video_lr_scale=0.5, video_layer_decay=0.5).build(TwoTowers(2, 2), steps=10)
    assert [(group["name"], group["lr"]) for group in optimizer.param_groups] == [
        *(("decayed", 0.1), ("kept", 0.1)),
        *(("video block 1, decayed", 0.025), ("video block 1, kept", 0.025)),
        *(("video block 2, decayed", 0.05), ("video block 2, kept", 0.05)),
    ]


def test_learning_rates_are_logged_by_group() -> None:
    def logged(recipe: AdamW) -> dict[str, float]:
        _, schedule = recipe.build(TwoTowers(2, 3), steps=10)
        return {name: float(rate) for name, rate in learning_rates(schedule).items()}

    assert logged(AdamW(lr=0.1)) == {"train/lr": 0.1}
    assert logged(AdamW(lr=0.1, imu_lr_scale=0.5, video_layer_decay=0.5)) == pytest.approx(
        {"train/lr": 0.1, "train/lr/imu": 0.05, "train/lr/video/block_1": 0.025, "train/lr/video/block_2": 0.05}
    )
    ours = torch.optim.SGD([{"params": [nn.Parameter(torch.ones(1))], "lr": rate} for rate in (0.1, 0.2)])
    assert learning_rates(LambdaLR(ours, lambda step: 1.0)) == {"train/lr": 0.1}


def test_a_layer_decay_needs_more_than_one_block() -> None:
    model = dual_encoder()
    with pytest.raises(ConfigError, match=r"optim\.imu_layer_decay: the imu encoder is a single block"):
        AdamW(imu_layer_decay=0.9).build(model, steps=10)


def test_a_completely_frozen_model_is_refused() -> None:
    with pytest.raises(ConfigError, match="nothing to train"):
        AdamW().build(nn.Linear(2, 2).requires_grad_(requires_grad=False), steps=10)


def test_the_parameters_of_the_loss_have_a_rate_of_their_own() -> None:
    loss = Sum(terms={"one": Term(InfoNCE()), "other": Term(SigLIP(), weight=0.5)}).build()
    model = nn.ModuleDict({"model": nn.Linear(2, 2), "loss": loss})
    optimizer, scheduler = AdamW(lr=1e-3, loss_lr_scale=10).build(model, steps=10)
    rates = {id(parameter): group["lr"] for group in optimizer.param_groups for parameter in group["params"]}
    assert {rates[id(parameter)] for parameter in loss.parameters()} == {1e-2}
    assert {rates[id(parameter)] for parameter in model["model"].parameters()} == {1e-3}
    assert len(rates) == 5
    assert learning_rates(scheduler) == {"train/lr": 1e-3, "train/lr/loss": 1e-2}
    unscaled, _ = AdamW(lr=1e-3).build(model, steps=10)
    assert len(unscaled.param_groups) == 2


def test_restored_statistics_have_the_memory_format_of_their_parameters() -> None:
    def trained(model: nn.Module) -> torch.optim.Optimizer:
        optimizer, _ = AdamW(fused=True).build(model, 10)
        model(torch.ones(1, 2, 3, 3, 3)).sum().backward()
        optimizer.step()
        return optimizer

    plain, other = nn.Conv3d(2, 4, 3), nn.Conv3d(2, 4, 3)
    other.weight.data = other.weight.data.to(memory_format=torch.channels_last_3d)
    before, optimizer = trained(plain), trained(other)
    optimizer.load_state_dict(before.state_dict())
    mean, expected = (one.state[model.weight]["exp_avg"] for one, model in ((optimizer, other), (before, plain)))
    assert torch.equal(mean, expected)
    assert mean.stride() == other.weight.stride() != expected.stride()
