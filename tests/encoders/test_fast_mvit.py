from __future__ import annotations

import copy

import pytest
import torch
from same_function import assert_same_function
from torch import Tensor, nn

from revalexo_clip.encoders import depthwise, forms, multiscale_block
from revalexo_clip.encoders.fast_mvit import speed_up
from revalexo_clip.encoders.model_zoo import builder


def untouched(frames: int, height: int, width: int, **settings: object) -> nn.Module:
    """PyTorchVideo's own model with all that its blocks can do (pool queries, pass keys over, widen), in four."""
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


def test_it_is_so_in_the_forms_of_accelerators_and_compilers_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (forms, depthwise, multiscale_block):
        monkeypatch.setattr(module, "suits_cpu_forms", lambda _: False)
    assert_same_function(untouched(4, 64, 96), speed_up, torch.randn(2, 3, 4, 64, 96))


def test_much_less_is_kept_for_the_backward_pass() -> None:
    plain = untouched(4, 64, 64)
    fast = copy.deepcopy(plain)
    speed_up(fast)
    video_B3THW = torch.randn(1, 3, 4, 64, 64)
    assert kept(fast, video_B3THW) < 0.7 * kept(plain, video_B3THW)


def kept(model: nn.Module, video_B3THW: Tensor) -> int:
    """Bytes of what a forward pass keeps, weights included."""
    sizes: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = model(video_B3THW)
    output.sum().backward()
    return sum(sizes.values())


@torch.no_grad()
def test_it_exports_and_still_computes_afterwards() -> None:
    model = untouched(2, 36, 36).eval()
    speed_up(model)
    video_B3THW = torch.randn(1, 3, 2, 36, 36)
    exported = torch.export.export(model, (video_B3THW,))
    torch.testing.assert_close(exported.module()(video_B3THW), model(video_B3THW))
