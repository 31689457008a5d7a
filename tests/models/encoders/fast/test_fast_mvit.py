from __future__ import annotations

import copy
import random

import pytest
import torch
from support.same_function import assert_same_function
from torch import Tensor, nn

from revalexo_clip.models.encoders.fast import attention as pooled_attention
from revalexo_clip.models.encoders.fast import convolution as depthwise
from revalexo_clip.models.encoders.fast import convolution as forms
from revalexo_clip.models.encoders.fast import mlp as recomputed_mlp
from revalexo_clip.models.encoders.fast import mvit as multiscale_block
from revalexo_clip.models.encoders.fast.mvit import speed_up
from revalexo_clip.models.encoders.pretrained_weights import builder


def untouched(frames: int, height: int, width: int, **settings: object) -> nn.Module:
    """Return PyTorchVideo's model with four blocks that use all features: pooled queries, skipped keys, widening."""
    torch.manual_seed(0)
    small: dict[str, object] = {
        "depth": 4,
        "patch_embed_dim": 8,
        "embed_dim_mul": [[1, 2.0], [2, 2.0]],
        "atten_head_mul": [[1, 2.0], [2, 2.0]],
        "pool_q_stride_size": [[1, 1, 2, 2], [2, 1, 2, 2]],
        "head_num_classes": 5,
    }
    make = builder("vision_transformers", "mvit_base_16x4")
    return make(spatial_size=(height, width), temporal_size=frames, **(small | settings))


@pytest.mark.parametrize(
    ("frames", "height", "width", "settings"),
    [
        (4, 64, 96, {}),
        (2, 36, 44, {"droppath_rate_block": 0.5}),
        (4, 32, 32, {"depth": 2, "pool_q_stride_size": [[1, 1, 2, 2]]}),  # the last block pools its queries
        (2, 36, 32, {"pool_kv_stride_adaptive": [1, 5, 5]}),
    ],
    ids=["strides of 8", "odd maps and dropped paths", "queries pooled last", "strides of 5"],
)
def test_mvit_is_the_same_function_as_pytorchvideos(
    frames: int, height: int, width: int, settings: dict[str, object]
) -> None:
    model = untouched(frames, height, width, **settings)
    assert_same_function(model, speed_up, torch.randn(2, 3, frames, height, width))


def test_the_forms_for_accelerators_are_the_same_function(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (forms, depthwise, multiscale_block, pooled_attention, recomputed_mlp):
        monkeypatch.setattr(module, "suits_cpu_forms", lambda _: False)
    assert_same_function(untouched(4, 64, 96), speed_up, torch.randn(2, 3, 4, 64, 96))


def test_the_forms_for_compilers_and_mixed_precision_are_the_same_function(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (pooled_attention, recomputed_mlp):
        monkeypatch.setattr(module, "suits_own_gradients", lambda _: False)
    model = untouched(4, 64, 96)
    assert_same_function(model, speed_up, torch.randn(2, 3, 4, 64, 96))
    fast = copy.deepcopy(model)
    speed_up(fast)
    video_B3THW = torch.randn(1, 3, 4, 64, 96, dtype=torch.float64)
    model, fast = model.double(), fast.double()
    assert kept(fast, video_B3THW) < 0.75 * kept(model, video_B3THW)


def test_an_empty_batch_is_accepted() -> None:
    model = untouched(4, 64, 96)
    speed_up(model)
    model(torch.zeros(0, 3, 4, 64, 96)).sum().backward()
    assert all(
        torch.equal(weight.grad, torch.zeros_like(weight)) for weight in model.parameters() if weight.grad is not None
    )


def test_a_partly_frozen_model_has_the_same_gradients() -> None:
    plain = untouched(4, 64, 96).double().eval()
    fast = copy.deepcopy(plain)
    speed_up(fast)
    rng = random.Random(0)
    learns = {name for name, _ in plain.named_parameters() if rng.random() < 0.5}
    video_B3THW = torch.randn(2, 3, 4, 64, 96, dtype=torch.float64)
    for model in (plain, fast):
        for name, weight in model.named_parameters():
            weight.requires_grad_(name in learns)
        model(video_B3THW).square().sum().backward()
    for (name, weight), other in zip(plain.named_parameters(), fast.parameters(), strict=True):
        assert (weight.grad is None) == (other.grad is None) == (name not in learns)
        if weight.grad is not None:
            torch.testing.assert_close(other.grad, weight.grad, rtol=1e-9, atol=1e-9)


def test_linear_maps_with_hooks_or_adapters_are_called() -> None:
    model = untouched(4, 64, 96).eval()
    speed_up(model)
    called: list[str] = []
    for name in ("attn.q", "attn.k", "attn.v", "mlp.fc1", "mlp.fc2"):
        model.get_submodule(f"blocks.1.{name}").register_forward_hook(lambda *_, name=name: called.append(name))
    model(torch.randn(1, 3, 4, 64, 96))
    assert called == ["attn.q", "attn.k", "attn.v", "mlp.fc1", "mlp.fc2"]


@pytest.mark.long
def test_it_can_be_traced() -> None:
    model = untouched(2, 36, 36).eval()
    speed_up(model)
    video_B3THW = torch.randn(1, 3, 2, 36, 36)
    traced = torch.jit.trace(model, (video_B3THW,))  # type: ignore[no-untyped-call]
    torch.testing.assert_close(traced(video_B3THW), model(video_B3THW))


def test_much_less_is_stored_for_the_backward_pass() -> None:
    plain = untouched(4, 64, 64)
    fast = copy.deepcopy(plain)
    speed_up(fast)
    video_B3THW = torch.randn(1, 3, 4, 64, 64)
    assert kept(fast, video_B3THW) < 0.7 * kept(plain, video_B3THW)


def kept(model: nn.Module, video_B3THW: Tensor) -> int:
    """Return the bytes that a forward pass stores, including weights."""
    sizes: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = model(video_B3THW)
    output.sum().backward()
    return sum(sizes.values())


@pytest.mark.long
@torch.no_grad()
def test_it_exports_and_still_computes_afterwards() -> None:
    model = untouched(2, 36, 36).eval()
    speed_up(model)
    video_B3THW = torch.randn(1, 3, 2, 36, 36)
    exported = torch.export.export(model, (video_B3THW,))
    torch.testing.assert_close(exported.module()(video_B3THW), model(video_B3THW))
