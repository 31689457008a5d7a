"""Plain stacked encoders, as in a downstream task, with the names that IMU2CLIP and PRIMUS save."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

State = dict[str, Tensor]


def drawn_state(stack: str, *, heads: bool = False, width: int = 8, length: int = 32, hidden: int = 12) -> State:
    """Draw tensors of the published names; the published sizes are a width of 32 and 512 units."""
    generator = torch.Generator().manual_seed(0)
    shapes = {
        f"{stack}.0.weight": (6,),
        f"{stack}.0.bias": (6,),
        f"{stack}.1.net.0.weight": (width, 6, 10),
        f"{stack}.2.net.0.weight": (width, width, 5),
        f"{stack}.3.net.0.weight": (width, width, 5),
        f"{stack}.4.weight": (width,),
        f"{stack}.4.bias": (width,),
        f"{stack}.5.weight_ih_l0": (3 * hidden, length),
        f"{stack}.5.weight_hh_l0": (3 * hidden, hidden),
        f"{stack}.5.bias_ih_l0": (3 * hidden,),
        f"{stack}.5.bias_hh_l0": (3 * hidden,),
    }
    for head in ("ssl_head", "mmcl_head") if heads else ():
        shapes |= {f"{head}.weight": (hidden, hidden), f"{head}.bias": (hidden,)}
    return {name: 0.3 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def state_after(state: State, stack: str, imu_BLC: Tensor, parts: int | None) -> Tensor:
    """Compute the last state [B, H] by single steps; the last pooling is the mean of `parts`, or max pooling of 3."""
    x = functional.group_norm(imu_BLC.transpose(1, 2), 2, state[f"{stack}.0.weight"], state[f"{stack}.0.bias"])
    for number in (1, 2, 3):
        x = functional.conv1d(x, state[f"{stack}.{number}.net.0.weight"], dilation=2)
        if number < 3 or parts is None:
            steps = x.shape[2] // 3
            x = torch.stack([x[..., 3 * at : 3 * at + 3].amax(dim=2) for at in range(steps)], dim=2)
        else:
            edges = [(part * x.shape[2] // parts, -(-(part + 1) * x.shape[2] // parts)) for part in range(parts)]
            x = torch.stack([x[..., first:end].mean(dim=2) for first, end in edges], dim=2)
    x = functional.group_norm(x, 4, state[f"{stack}.4.weight"], state[f"{stack}.4.bias"])
    hidden_BH = torch.zeros(len(x), state[f"{stack}.5.weight_hh_l0"].shape[1])
    for step in range(x.shape[1]):  # the maps, one after the other
        given = x[:, step] @ state[f"{stack}.5.weight_ih_l0"].T + state[f"{stack}.5.bias_ih_l0"]
        kept = hidden_BH @ state[f"{stack}.5.weight_hh_l0"].T + state[f"{stack}.5.bias_hh_l0"]
        (r, z, n), (hr, hz, hn) = given.chunk(3, dim=1), kept.chunk(3, dim=1)
        keep = (z + hz).sigmoid()
        hidden_BH = keep * hidden_BH + (1 - keep) * (n + (r + hr).sigmoid() * hn).tanh()
    return hidden_BH
