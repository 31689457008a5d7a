"""The IMU encoder of ImageBind as a plain function of its state dict, with torch's own attention, and drawn weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

State = dict[str, Tensor]
HEADS = 8


def shapes(
    width: int = 512, depth: int = 6, patch: int = 8, samples: int = 2000, features: int = 1024
) -> dict[str, tuple[int, ...]]:
    """Return name and shape of each tensor; the defaults are the published ones."""
    into, trunk, head = (f"modality_{part}.imu" for part in ("preprocessors", "trunks", "heads"))
    found: dict[str, tuple[int, ...]] = {
        f"{into}.cls_token": (1, 1, width),
        f"{into}.pos_embed": (1, samples // patch + 1, width),
        f"{into}.imu_stem.proj.weight": (width, 6 * patch),
        f"{into}.imu_stem.norm_layer.weight": (width,),
        f"{into}.imu_stem.norm_layer.bias": (width,),
        f"{head}.0.weight": (width,),
        f"{head}.0.bias": (width,),
        f"{head}.3.weight": (features, width),
    }
    for number in range(depth):
        block = f"{trunk}.blocks.{number}"
        found |= {f"{block}.attn.bias_{name}": (1, 1, width) for name in "kv"}
        found |= {f"{block}.attn.in_proj_weight": (3 * width, width), f"{block}.attn.in_proj_bias": (3 * width,)}
        found |= {f"{block}.norm_{norm}.{kind}": (width,) for norm in (1, 2) for kind in ("weight", "bias")}
        for name, outputs, inputs in (
            ("attn.out_proj", width, width),
            ("mlp.fc1", 4 * width, width),
            ("mlp.fc2", width, 4 * width),
        ):
            found |= {f"{block}.{name}.weight": (outputs, inputs), f"{block}.{name}.bias": (outputs,)}
    return found


def drawn_state() -> State:
    """Draw the weights of a small encoder, beside tensors of other modalities."""
    generator = torch.Generator().manual_seed(0)
    sizes = shapes(width=16, depth=2, patch=4, samples=40, features=12)
    state = {name: 0.5 * torch.randn(shape, generator=generator) for name, shape in sizes.items()}
    return state | {
        "modality_heads.vision.0.weight": torch.zeros(3),
        "modality_postprocessors.imu.1.log_logit_scale": torch.ones(()),
    }


def plain_features(state: State, imu_BLC: Tensor) -> Tensor:
    """Compute the projection of the class token [B, F] of windows [B, L, 6]."""
    own = {name.partition(".imu.")[2]: tensor for name, tensor in state.items()}
    width, inputs = own["imu_stem.proj.weight"].shape
    length = inputs // 6
    patches = [
        imu_BLC[:, start : start + length].transpose(1, 2).flatten(1) for start in range(0, imu_BLC.shape[1], length)
    ]
    x = torch.stack(patches, dim=1) @ own["imu_stem.proj.weight"].T
    x = functional.layer_norm(x, [width], own["imu_stem.norm_layer.weight"], own["imu_stem.norm_layer.bias"])
    x = torch.cat([own["cls_token"].repeat(len(x), 1, 1), x], dim=1) + own["pos_embed"]
    for number in range(sum(name.endswith("attn.bias_k") for name in own)):
        block = {name.removeprefix(f"blocks.{number}."): tensor for name, tensor in own.items()}
        attention = nn.MultiheadAttention(width, HEADS, add_bias_kv=True, batch_first=True)
        attention.load_state_dict({name: block[f"attn.{name}"] for name in attention.state_dict()})
        inner = functional.layer_norm(x, [width], block["norm_1.weight"], block["norm_1.bias"], 1e-6)
        x = x + attention(inner, inner, inner, need_weights=False)[0]
        inner = functional.layer_norm(x, [width], block["norm_2.weight"], block["norm_2.bias"], 1e-6)
        inner = functional.gelu(inner @ block["mlp.fc1.weight"].T + block["mlp.fc1.bias"])
        x = x + inner @ block["mlp.fc2.weight"].T + block["mlp.fc2.bias"]
    first = functional.layer_norm(
        x[:, 0], [width], state["modality_heads.imu.0.weight"], state["modality_heads.imu.0.bias"], 1e-6
    )
    return first @ own["3.weight"].T
